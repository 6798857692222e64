//! Several records at once: transactions and batches.
//!
//! Both write above the published tail, where nobody sees it, and publish by one store; dropped without a commit, they
//! never were. A transaction's records carry MORE but the last, so that nobody ever takes a part of them. A batch's do
//! not: it only saves the cost of many publications.
//!
//! A record of a transaction is written without MORE, and gets it when the next one follows. So the last one has none,
//! whichever it turns out to be.

use crate::error::Error;
use crate::payload::{Fields, Payload};
use crate::record::header_len;
use crate::statement::{CallSite, RuntimeStatement, Statement};
use crate::writer::{Placed, Writer, check_state};

/// Records that appear together or not at all. Rolled back when dropped.
///
/// In an unreliable group a transaction for which there is no room is dropped whole, and all its records are counted.
#[derive(Debug)]
pub struct Transaction<'w> {
    writer: &'w mut Writer,
    /// Offset of the last record among those pending.
    last: usize,
    records: u64,
    bytes: u64,
    /// An unreliable ring had no room for one of the records.
    is_dropped: bool,
    state: Option<Vec<u8>>,
}

impl<'w> Transaction<'w> {
    pub(crate) fn new(writer: &'w mut Writer) -> Self {
        Transaction {
            writer,
            last: 0,
            records: 0,
            bytes: 0,
            is_dropped: false,
            state: None,
        }
    }

    /// Adds a record, stamped with the time if the group wants that. Statements that are new to the ring are defined at
    /// once, and stay defined after a rollback.
    ///
    /// # Errors
    /// As [`Writer::log`], or all the records together are longer than 16 MiB. The records before stay pending.
    #[inline]
    pub fn log<F: Fields>(&mut self, statement: &Statement<F>, fields: F) -> Result<(), Error> {
        let time = self.writer.time();
        self.log_at(time, statement, fields)
    }

    /// As [`Self::log`], with a time of the caller's (ns since 1970) or none.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[allow(clippy::needless_pass_by_value)] // A tuple of what is logged, made for this call.
    pub fn log_at<F: Fields>(&mut self, time: Option<u64>, statement: &Statement<F>, fields: F) -> Result<(), Error> {
        self.log_any(time, statement, &fields)
    }

    /// As [`Self::log_at`], for a statement made at run time; see [`Writer::log_payload_at`].
    ///
    /// # Errors
    /// As [`Writer::log`].
    pub fn log_payload_at<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &RuntimeStatement,
        payload: &P,
    ) -> Result<(), Error> {
        self.log_any(time, statement, payload)
    }

    /// As [`Self::log_payload_at`], stamped with the time if the group wants that.
    ///
    /// # Errors
    /// As [`Writer::log`].
    pub fn log_payload<P: Payload + ?Sized>(&mut self, statement: &RuntimeStatement, payload: &P) -> Result<(), Error> {
        let time = self.writer.time();
        self.log_any(time, statement, payload)
    }

    fn log_any<P: Payload + ?Sized>(
        &mut self,
        time: Option<u64>,
        statement: &impl CallSite,
        payload: &P,
    ) -> Result<(), Error> {
        self.writer.ready_within(self.records > 0)?;
        if !self.is_dropped {
            let offset = self.writer.pending_len();
            if self.writer.place(time, statement, payload)? == Placed::Dropped {
                self.writer.roll_back();
                self.is_dropped = true;
            } else {
                if offset > 0 {
                    self.writer.mark_more(self.last);
                }
                self.last = offset;
            }
        }
        self.records += 1;
        self.bytes += (header_len(time.is_some()) + payload.encoded_len()) as u64;
        Ok(())
    }

    /// Puts in the resume state that becomes valid with this transaction, and not if it is rolled back.
    ///
    /// # Errors
    /// It is longer than 1024 bytes.
    pub fn set_state(&mut self, state: &[u8]) -> Result<(), Error> {
        check_state(state)?;
        self.state = Some(state.to_vec());
        Ok(())
    }

    /// Publishes the records. When it returns, all of them are committed. A transaction without records publishes
    /// nothing, and its state goes with the next record.
    ///
    /// # Errors
    /// As [`Writer::log`]; nothing is committed then.
    pub fn commit(mut self) -> Result<(), Error> {
        if self.records == 0 {
            return self.state.take().map_or(Ok(()), |state| self.writer.set_state(&state));
        }
        if self.is_dropped || !self.writer.publish_pending(self.state.as_deref())? {
            self.writer.count_drops(self.records, self.bytes);
        }
        Ok(())
    }

    /// Forgets the records. Dropping the transaction does the same.
    pub fn rollback(self) {}
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.writer.roll_back();
    }
}

/// Independent records that are published by one store. What is not committed is rolled back when dropped.
///
/// In an unreliable group records for which there is no room are dropped one by one, and counted.
#[derive(Debug)]
pub struct Batch<'w> {
    writer: &'w mut Writer,
    /// Whether something was logged since the last commit.
    is_begun: bool,
    state: Option<Vec<u8>>,
}

impl<'w> Batch<'w> {
    pub(crate) fn new(writer: &'w mut Writer) -> Self {
        Batch {
            writer,
            is_begun: false,
            state: None,
        }
    }

    /// Adds a record, stamped with the time if the group wants that. `false`: the batch is full and the record not added;
    /// commit first. An empty batch takes any record that can be logged at all.
    ///
    /// # Errors
    /// As [`Writer::log`]. The records before stay pending.
    #[inline]
    pub fn log<F: Fields>(&mut self, statement: &Statement<F>, fields: F) -> Result<bool, Error> {
        let time = self.writer.time();
        self.log_at(time, statement, fields)
    }

    /// As [`Self::log`], with a time of the caller's (ns since 1970) or none.
    ///
    /// # Errors
    /// As [`Self::log`].
    #[inline]
    #[allow(clippy::needless_pass_by_value)] // A tuple of what is logged, made for this call.
    pub fn log_at<F: Fields>(&mut self, time: Option<u64>, statement: &Statement<F>, fields: F) -> Result<bool, Error> {
        self.writer.ready_within(self.is_begun)?;
        let placed = if self.writer.fits(time, &fields) {
            self.writer.place_in_ring(time, statement, &fields)?
        } else if self.writer.pending_len() > 0 {
            return Ok(false);
        } else {
            self.writer.place_in_run(time, statement, &fields)?
        };
        self.is_begun = true;
        if placed == Placed::Dropped {
            self.writer
                .count_drops(1, (header_len(time.is_some()) + fields.encoded_len()) as u64);
        }
        Ok(true)
    }

    /// Puts in the resume state that becomes valid with the next commit, and not if that is never made.
    ///
    /// # Errors
    /// It is longer than 1024 bytes.
    pub fn set_state(&mut self, state: &[u8]) -> Result<(), Error> {
        check_state(state)?;
        self.state = Some(state.to_vec());
        Ok(())
    }

    /// Publishes the records; the batch is empty then and may go on. When it returns, all of them are committed. Without
    /// records the state goes with the next one.
    ///
    /// # Errors
    /// As [`Writer::log`]. The batch is empty all the same, and nothing of it is committed.
    pub fn commit(&mut self) -> Result<(), Error> {
        let len = self.writer.pending_len() as u64;
        let published = self.writer.publish_pending(self.state.as_deref());
        self.writer.forget_pending();
        self.is_begun = false;
        self.state = None;
        if !published? {
            // What went nowhere can only be one record, too long to stand unfragmented.
            self.writer.count_drops(1, len);
        }
        Ok(())
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.writer.roll_back();
    }
}
