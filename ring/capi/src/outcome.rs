//! How calls end: a status, and words for it that stay until the thread's next failure.

use hog_ring::Error;
use hog_ring::statement::DefinitionError;
use std::cell::RefCell;
use std::error::Error as _;
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Done. In an unreliable group also: dropped, for want of room, and counted.
pub const HOG_OK: c_int = 0;
/// An argument is not what it must be: a null pointer, a bad name or size, a text that is not UTF-8, an unknown type.
pub const HOG_ERR_ARGUMENT: c_int = 1;
/// The call does not fit what was called before: a commit without a transaction, values that are not those of the
/// statement.
pub const HOG_ERR_MISUSE: c_int = 2;
/// A record, transaction, definition or state is longer than may be.
pub const HOG_ERR_TOO_LONG: c_int = 3;
/// A living process has the ring of this name.
pub const HOG_ERR_HELD: c_int = 4;
/// HOG_RESUME_REQUIRE, and there is nothing sound to resume from.
pub const HOG_ERR_NOTHING_TO_RESUME: c_int = 5;
/// Shared memory is full, is no tmpfs, or cannot be shared as asked; or this process writes too many rings.
pub const HOG_ERR_SHM: c_int = 6;
/// The ring cannot be used any more: it was condemned by its reader, or something else wrote into it.
pub const HOG_ERR_RING: c_int = 7;
/// This is a forked child, and the named ring or the transaction stays with its parent.
pub const HOG_ERR_FORKED: c_int = 8;
/// hog_group_stop was called while the ring was full.
pub const HOG_ERR_STOPPED: c_int = 9;
/// The kernel refused something.
pub const HOG_ERR_IO: c_int = 10;
/// A mistake in this library. Close the writer or group that was used.
pub const HOG_ERR_INTERNAL: c_int = 11;

/// Why a call did not do what it was asked.
pub(crate) struct Failure {
    status: c_int,
    words: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// A bad argument, in words.
pub(crate) fn argument(words: impl Into<String>) -> Failure {
    Failure {
        status: HOG_ERR_ARGUMENT,
        words: words.into(),
    }
}

/// A call that does not fit those before, in words.
pub(crate) fn misuse(words: impl Into<String>) -> Failure {
    Failure {
        status: HOG_ERR_MISUSE,
        words: words.into(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match &error {
            Error::Definition(DefinitionError::TooLong { .. })
            | Error::TooLong { .. }
            | Error::StateTooLong { .. }
            | Error::NoStatementIds => HOG_ERR_TOO_LONG,
            Error::BadGroupName { .. }
            | Error::BadRingName { .. }
            | Error::BadRingSize { .. }
            | Error::UnknownShmGroup(_)
            | Error::Definition(_) => HOG_ERR_ARGUMENT,
            Error::Held { .. } => HOG_ERR_HELD,
            Error::NothingToResume { .. } => HOG_ERR_NOTHING_TO_RESUME,
            Error::NotTmpfs { .. } | Error::ShmFull { .. } | Error::TooManyRings | Error::NotShared { .. } => {
                HOG_ERR_SHM
            }
            Error::Condemned { .. } | Error::WildHead { .. } => HOG_ERR_RING,
            Error::ForkedNamed { .. } | Error::ForkedTransaction => HOG_ERR_FORKED,
            Error::Stopped => HOG_ERR_STOPPED,
            Error::WrongLength { .. } => HOG_ERR_INTERNAL,
            Error::Io { .. } | Error::NotARing { .. } => HOG_ERR_IO,
        };
        Failure {
            status,
            words: in_words(&error),
        }
    }
}

impl From<DefinitionError> for Failure {
    fn from(error: DefinitionError) -> Failure {
        Error::Definition(error).into()
    }
}

/// An error and what caused it, as one sentence.
fn in_words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::new(CString::default());
}

/// What the last call of this thread that failed has to say, in words; empty if none failed yet. Valid until the next
/// failure in this thread, or its end.
#[unsafe(no_mangle)]
pub extern "C" fn hog_last_error() -> *const c_char {
    // At the end of a thread, when its variables are gone, there is nothing to say.
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs the body of a function that C calls: its failure, or its panic, becomes a status, and words for
/// [`hog_last_error`].
pub(crate) fn call(body: impl FnOnce() -> Outcome) -> c_int {
    // What a panic leaves half done is what a failed call may leave: the ring's own calls put it right at the next one.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => HOG_OK,
        Ok(Err(failure)) => fail(failure),
        Err(panic) => {
            let words = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
                (Some(words), _) => words.clone(),
                (None, Some(words)) => (*words).to_owned(),
                (None, None) => "no words".to_owned(),
            };
            // The panic's value may itself panic when it is dropped.
            std::mem::forget(panic);
            fail(Failure {
                status: HOG_ERR_INTERNAL,
                words: format!("a mistake in the library: {words}"),
            })
        }
    }
}

#[cold]
fn fail(Failure { status, words }: Failure) -> c_int {
    // What is quoted may hold a NUL, which ends a text in C.
    let words = CString::new(words.replace('\0', "\u{FFFD}")).unwrap_or_default();
    let _ = LAST.try_with(|last| *last.borrow_mut() = words);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn last() -> String {
        // SAFETY: the function returns a text that lives until the next failure in this thread.
        unsafe { CStr::from_ptr(hog_last_error()) }.to_str().unwrap().to_owned()
    }

    #[test]
    fn failures_and_panics_are_statuses_with_words_and_success_leaves_the_words() {
        assert_eq!(last(), "");
        assert_eq!(call(|| Err(argument("a\0b is wrong"))), HOG_ERR_ARGUMENT);
        assert_eq!(last(), "a\u{FFFD}b is wrong");
        assert_eq!(call(|| Ok(())), HOG_OK);
        assert_eq!(last(), "a\u{FFFD}b is wrong");
        assert_eq!(call(|| panic!("number {}", 7)), HOG_ERR_INTERNAL);
        assert_eq!(last(), "a mistake in the library: number 7");
        let other = std::thread::spawn(last).join().unwrap();
        assert_eq!(other, "", "each thread has its own");
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let error = Error::Definition(DefinitionError::TooLong { found: 99_999 });
        let words = in_words(&error);
        assert!(
            words.starts_with("define a statement: a statement definition of 99999 bytes"),
            "{words}"
        );
        assert_eq!(Failure::from(error).status, HOG_ERR_TOO_LONG);
    }
}
