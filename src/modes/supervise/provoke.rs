//! Workers that panic or stall on purpose, for tests: with the feature `mutants` alone. Without it nothing of this is in the program.
//!
//! `HOG_PROVOKE` names a directory. The file `panic NAME` in it has the worker of that name panic at the next place that asks here, each time, or once if
//! `once` is in the file. `stall NAME` has it wait: the file is renamed to `stalled NAME`, and the worker goes on when that is deleted.

/// A worker is about to do what others see.
#[cfg(feature = "mutants")]
pub fn here() {
    with_files::provoke();
}

/// A worker is about to do what others see.
#[cfg(not(feature = "mutants"))]
pub const fn here() {}

/// This thread is the worker `name`.
#[cfg(feature = "mutants")]
pub fn this_is(name: &str) {
    with_files::NAME.with_borrow_mut(|place| name.clone_into(place));
}

/// This thread is the worker `name`.
#[cfg(not(feature = "mutants"))]
pub const fn this_is(_name: &str) {}

#[cfg(feature = "mutants")]
mod with_files {
    use std::cell::RefCell;
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::time::Duration;

    thread_local! {
        pub(super) static NAME: RefCell<String> = const { RefCell::new(String::new()) };
    }

    fn directory() -> Option<&'static PathBuf> {
        static DIRECTORY: OnceLock<Option<PathBuf>> = OnceLock::new();
        DIRECTORY
            .get_or_init(|| std::env::var_os("HOG_PROVOKE").map(PathBuf::from))
            .as_ref()
    }

    pub(super) fn provoke() {
        let (Some(directory), name) = (directory(), NAME.with_borrow(Clone::clone)) else {
            return;
        };
        let stalled = directory.join(format!("stalled {name}"));
        if std::fs::rename(directory.join(format!("stall {name}")), &stalled).is_ok() {
            while stalled.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let panics = directory.join(format!("panic {name}"));
        if let Ok(words) = std::fs::read_to_string(&panics) {
            if words == "once" {
                let _ = std::fs::remove_file(&panics); // then it is not once, and the test says so
            }
            panic!("on purpose, in {name}");
        }
    }
}
