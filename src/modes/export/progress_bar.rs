//! How far an export is, for whoever waits for it at a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// How much of the archive was read, on stderr.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Shown on a terminal alone.
    pub(super) fn new() -> Self {
        let bar = ProgressBar::no_length();
        if !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many bytes are to be read.
    pub(super) fn begin(&self, bytes: u64) {
        self.0.set_length(bytes);
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.inc(bytes);
    }

    /// Takes it away.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
