//! Faults that can be switched on, to see whether the tests would notice them.
//!
//! With the feature `mutants`, the environment variable `HOG_MUTANT` names one fault, which this process then has. Without it, [`on`] is a
//! constant, and nothing of this is left in the program.

/// Whether this process has the fault `name`.
#[cfg(feature = "mutants")]
pub(crate) fn on(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    CHOSEN
        .get_or_init(|| std::env::var_os("HOG_MUTANT"))
        .as_deref()
        .is_some_and(|chosen| chosen == name)
}

/// Whether this process has the fault `name`: never.
#[cfg(not(feature = "mutants"))]
#[inline]
pub(crate) const fn on(_name: &str) -> bool {
    false
}
