//! Writers: what a thread of a C program logs through, record by record or in transactions.

use crate::group::hog_group;
use crate::outcome::{Outcome, argument, call, misuse};
use crate::pointer::{self, Place};
use crate::statement::hog_statement;
use crate::value::{Values, hog_value};
use hog_ring::{Resume, Transaction, Writer};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::NonNull;

/// Take over the ring that an earlier run left under the name if it has a sound state, otherwise make a new one.
pub const HOG_RESUME_AUTO: u32 = 0;
/// Take it over, or fail with HOG_ERR_NOTHING_TO_RESUME and touch nothing.
pub const HOG_RESUME_REQUIRE: u32 = 1;
/// Make a new one. What the old one still holds is drained all the same.
pub const HOG_RESUME_OFF: u32 = 2;

/// Writes one ring. One thread uses it at a time; best, each thread opens its own.
pub struct hog_writer {
    /// The open transaction. It borrows what `writer` points at, and nobody else uses that until it is gone.
    transaction: Option<Transaction<'static>>,
    /// From `Box::into_raw`, so that it stays where it is, and is borrowed by nobody but the transaction.
    writer: NonNull<Writer>,
}

impl hog_writer {
    fn new(writer: Writer) -> hog_writer {
        hog_writer {
            transaction: None,
            writer: NonNull::from(Box::leak(Box::new(writer))),
        }
    }

    /// The writer, which no transaction has.
    fn writer(&mut self) -> Outcome<&mut Writer> {
        if self.transaction.is_some() {
            return Err(misuse("a transaction is open"));
        }
        // SAFETY: it came from a box that is freed in `drop` alone, and no transaction borrows it.
        Ok(unsafe { self.writer.as_mut() })
    }

    fn begin(&mut self) -> Outcome {
        self.writer()?;
        // SAFETY: as in `writer`. The lifetime is longer than what it borrows may live, so the transaction never leaves this
        // struct, which drops it before the writer, and hands out no other reference while it is there.
        let writer: &'static mut Writer = unsafe { &mut *self.writer.as_ptr() };
        self.transaction = Some(writer.transaction());
        Ok(())
    }

    fn end(&mut self) -> Outcome<Transaction<'static>> {
        self.transaction.take().ok_or_else(|| misuse("no transaction is open"))
    }

    fn log(&mut self, time: Option<u64>, statement: &hog_statement, values: &Values<'_>) -> Outcome {
        let statement = &statement.statement;
        match (&mut self.transaction, time) {
            (Some(transaction), None) => transaction.log_payload(statement, values)?,
            (Some(transaction), time) => transaction.log_payload_at(time, statement, values)?,
            (None, None) => self.writer()?.log_payload(statement, values)?,
            (None, time) => self.writer()?.log_payload_at(time, statement, values)?,
        }
        Ok(())
    }
}

impl Drop for hog_writer {
    fn drop(&mut self) {
        // Rolls back, while there still is something to roll back.
        self.transaction = None;
        // SAFETY: it came from a box, nobody borrows it any more, and this runs once.
        drop(unsafe { Box::from_raw(self.writer.as_ptr()) });
    }
}

/// Opens a writer with a ring of its own, which nobody resumes. After a fork the child's first call makes it another.
/// If the call fails, `*out` is NULL.
///
/// # Safety
/// `group` is NULL or came from hog_group_open; `out` is where the writer's pointer goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_writer_open(group: *const hog_group, out: *mut *mut hog_writer) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let place = unsafe { Place::at(out) }?;
        // SAFETY: as before.
        let group = unsafe { pointer::shared(group, "group") }?;
        let writer = group.group.writer()?;
        place.give(hog_writer::new(writer));
        Ok(())
    })
}

/// Opens the writer of the ring `name`, which outlives this run once a state is set: the next run goes on with it.
/// `resume` is HOG_RESUME_AUTO, HOG_RESUME_REQUIRE or HOG_RESUME_OFF. If the call fails, `*out` is NULL.
///
/// # Safety
/// `group` is NULL or came from hog_group_open; `name` ends with NUL; `out` is where the writer's pointer goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_writer_open_named(
    group: *const hog_group,
    name: *const c_char,
    resume: u32,
    out: *mut *mut hog_writer,
) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let place = unsafe { Place::at(out) }?;
        // SAFETY: as before.
        let group = unsafe { pointer::shared(group, "group") }?;
        // SAFETY: as before.
        let name = unsafe { pointer::text(name, "name") }?;
        let resume = match resume {
            HOG_RESUME_AUTO => Resume::Auto,
            HOG_RESUME_REQUIRE => Resume::Require,
            HOG_RESUME_OFF => Resume::Off,
            other => return Err(argument(format!("there is no way to resume with the number {other}"))),
        };
        let writer = group.group.named_writer(name, resume)?;
        place.give(hog_writer::new(writer));
        Ok(())
    })
}

/// What the run before this one left, if this writer took its ring over: `*state` is NULL if it did not, otherwise
/// points at `*length` bytes, until the writer is closed. Not within a transaction.
///
/// # Safety
/// `writer` is NULL or came from hog_writer_open or hog_writer_open_named; `state` and `length` are places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_writer_recovered(
    writer: *mut hog_writer,
    state: *mut *const c_void,
    length: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        // SAFETY: as before.
        let (state, length) = unsafe {
            (
                pointer::exclusive(state, "state")?,
                pointer::exclusive(length, "length")?,
            )
        };
        (*state, *length) = match writer.writer()?.recovered() {
            // An empty state is one, and the pointer to it is not null.
            Some(recovered) => (recovered.state.as_ptr().cast(), recovered.state.len()),
            None => (std::ptr::null(), 0),
        };
        Ok(())
    })
}

/// Logs one record, stamped with the time if the group wants that. Outside of a transaction it is committed when the call
/// returns HOG_OK: no end of this process can take it back. Within one, it is when hog_commit returns HOG_OK.
///
/// `values` are as many as the statement has fields, each of the kind of its field. The macro HOG_LOG counts them.
///
/// # Safety
/// `writer` and `statement` are NULL or came from this library; `values` points at `count` values; their texts and bytes
/// are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_log(
    writer: *mut hog_writer,
    statement: *const hog_statement,
    values: *const hog_value,
    count: usize,
) -> c_int {
    // SAFETY: the function's own contract.
    unsafe { log(writer, None, statement, values, count) }
}

/// As hog_log, with a time of the caller's: nanoseconds since 1970.
///
/// # Safety
/// As hog_log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_log_at(
    writer: *mut hog_writer,
    time_ns: u64,
    statement: *const hog_statement,
    values: *const hog_value,
    count: usize,
) -> c_int {
    // SAFETY: the function's own contract.
    unsafe { log(writer, Some(time_ns), statement, values, count) }
}

/// # Safety
/// As [`hog_log`].
#[inline]
unsafe fn log(
    writer: *mut hog_writer,
    time: Option<u64>,
    statement: *const hog_statement,
    values: *const hog_value,
    count: usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's word.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        // SAFETY: as before.
        let statement = unsafe { pointer::shared(statement, "statement") }?;
        // SAFETY: as before.
        let values = unsafe { pointer::items(values, count, "values") }?;
        // SAFETY: as before.
        let values = unsafe { Values::fitting(values, &statement.kinds) }?;
        writer.log(time, statement, &values)
    })
}

/// Begins a transaction: the records logged until hog_commit appear together or not at all.
///
/// # Safety
/// `writer` is NULL or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_begin(writer: *mut hog_writer) -> c_int {
    // SAFETY: the function's own contract.
    call(|| unsafe { pointer::exclusive(writer, "writer") }?.begin())
}

/// Commits the open transaction. The transaction is over, whatever the call returns; if not HOG_OK, nothing of it is
/// committed.
///
/// # Safety
/// `writer` is NULL or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_commit(writer: *mut hog_writer) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        Ok(writer.end()?.commit()?)
    })
}

/// Forgets the open transaction.
///
/// # Safety
/// `writer` is NULL or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_rollback(writer: *mut hog_writer) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        writer.end()?.rollback();
        Ok(())
    })
}

/// Puts in the resume state, at most 1024 bytes, that becomes valid with the next record, or with the open transaction.
/// It makes a named ring one that the next run takes over.
///
/// # Safety
/// `writer` is NULL or came from this library; `state` points at `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_set_state(writer: *mut hog_writer, state: *const c_void, length: usize) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        // SAFETY: as before.
        let state = unsafe { pointer::bytes(state, length, "state") }?;
        match &mut writer.transaction {
            Some(transaction) => Ok(transaction.set_state(state)?),
            None => Ok(writer.writer()?.set_state(state)?),
        }
    })
}

/// Wakes the drainer. Records are committed without it; they reach the drainer at its next poll. Not within a transaction.
///
/// # Safety
/// `writer` is NULL or came from this library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_flush(writer: *mut hog_writer) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        writer.writer()?.commit();
        Ok(())
    })
}

/// Totals of what was dropped in this ring for want of room, by earlier runs too. Not within a transaction.
///
/// # Safety
/// `writer` is NULL or came from this library; `records` and `bytes` are places for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_drops(writer: *mut hog_writer, records: *mut u64, bytes: *mut u64) -> c_int {
    call(|| {
        // SAFETY: the function's own contract.
        let writer = unsafe { pointer::exclusive(writer, "writer") }?;
        // SAFETY: as before.
        let (records, bytes) = unsafe {
            (
                pointer::exclusive(records, "records")?,
                pointer::exclusive(bytes, "bytes")?,
            )
        };
        (*records, *bytes) = writer.writer()?.drops();
        Ok(())
    })
}

/// Closes a writer and its ring; an open transaction is forgotten. What was committed is drained all the same. NULL is
/// nothing.
///
/// # Safety
/// `writer` is NULL or came from this library, and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_writer_close(writer: *mut hog_writer) {
    call(|| -> Outcome {
        // SAFETY: the function's own contract.
        unsafe { pointer::take(writer) };
        Ok(())
    });
}
