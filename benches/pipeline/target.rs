//! What a figure has to reach, and whether it did.

use std::fmt;

/// What is asked of a figure: against its limit, or by itself in its row's unit.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// It may be at most so many times the limit: of what something takes.
    RatioAtMost(f64),
    /// It must be at least so many times the limit: of rates.
    RatioAtLeast(f64),
    /// It may be at most this.
    AtMost(f64),
    /// It must be at least this.
    AtLeast(f64),
    /// Nothing: it is looked at, from one change to the next.
    Watched,
    /// Nothing: it is no figure of hog's, but what the machine gives.
    Machine,
}

impl Target {
    /// Whether `figure` with `ratio` to its limit reaches it; nothing is reached where nothing is asked. A figure that is not there reaches
    /// nothing.
    pub(crate) fn met(self, figure: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::RatioAtMost(bound) => Some(ratio.is_some_and(|ratio| ratio <= bound)),
            Self::RatioAtLeast(bound) => Some(ratio.is_some_and(|ratio| ratio >= bound)),
            Self::AtMost(bound) => Some(figure <= bound),
            Self::AtLeast(bound) => Some(figure >= bound),
            Self::Watched | Self::Machine => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let text = match self {
            Self::RatioAtMost(bound) => format!("<= {bound} x"),
            Self::RatioAtLeast(bound) => format!(">= {bound} x"),
            Self::AtMost(bound) => format!("<= {bound}"),
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::Watched | Self::Machine => "-".to_owned(),
        };
        out.pad(&text)
    }
}
