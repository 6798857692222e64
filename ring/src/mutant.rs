//! Faults that can be switched on, to see whether the tests would notice them.
//!
//! With the feature `mutants`, the environment variable [`CHOICE`] names one fault, which this process then has. Without the feature, [`on`] is
//! a constant, and nothing of this is left in the program. Not for users, so not in the documentation.

/// The variable that names the fault.
pub const CHOICE: &str = "HOG_MUTANT";

/// Whether this process has the fault `name`.
#[cfg(feature = "mutants")]
pub fn on(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var_os(CHOICE))
        .as_deref()
        .is_some_and(|chosen| chosen == name)
}

/// Whether this process has the fault `name`: never.
#[cfg(not(feature = "mutants"))]
#[inline]
#[must_use]
pub const fn on(_name: &str) -> bool {
    false
}
