//! How far an export is, for whoever waits for it at a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// After so many bytes what is shown is brought up to date.
const STEP: u64 = 1 << 20;

/// What was exported so far, on stderr.
pub(super) struct Bar {
    bar: ProgressBar,
    /// Not shown yet.
    bytes: u64,
}

impl Bar {
    /// Shown on a terminal alone.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {binary_bytes} of records exported, {binary_bytes_per_sec}")
        {
            bar.set_style(style);
        }
        Self { bar, bytes: 0 }
    }

    #[inline]
    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= STEP {
            self.bar.inc(std::mem::take(&mut self.bytes));
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
