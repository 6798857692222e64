//! What is wrong with peers: said once of each kind, with the address of the first, and then counted ([`Rarely`]).

use super::classic::ClassicError;
use super::connection::ConnectionError;
use crate::exit::chain;
use crate::formats::wire::RefuseCode;
use crate::modes::rarely::Rarely;
use crate::modes::recorder::Recorder;
use crate::os::net::NetError;
use hogstat::FaultKind;
use std::fmt::Display;
use std::time::Instant;
use tracing::{info, warn};

/// A kind of thing that is wrong with a connection.
type Kind = &'static str;

/// A sender was refused.
pub(super) const REFUSED: Kind = "was refused";
/// Nothing is wrong.
const WELCOMED: Kind = "was welcomed";
/// Nobody was asked: the receiver has no room for more connections.
pub(super) const BUSY: Kind = "found all places taken";
/// It did not say who it is before others came.
pub(super) const DISPLACED: Kind = "said nothing, and gave way to others";
/// An original sender had nothing to send when all places were taken.
pub(super) const IDLE_DISPLACED: Kind = "of an original sender was silent, and gave way to others";
/// The kernel gave no connection.
pub(super) const UNACCEPTED: Kind = "could not be accepted";
/// Our disk, not the peer.
const UNSTORED: Kind = "could not be stored";

/// So many welcomes in a minute are worth a line each.
const WELCOMED_MOST: u64 = 60;

/// Tells of connections that fail.
pub(super) struct Complaints {
    said: Rarely,
    recorder: Recorder,
}

impl Complaints {
    pub(super) fn new(recorder: &Recorder) -> Self {
        Self {
            said: Rarely::default(),
            recorder: recorder.clone(),
        }
    }

    /// A connection from `remote` failed.
    pub(super) fn failed(&self, remote: impl Display, error: &ConnectionError) {
        self.tell(kind_of(error), || format!("connection from {remote}: {}", chain(error)));
    }

    /// Something of `kind` came.
    pub(super) fn tell(&self, kind: Kind, words: impl FnOnce() -> String) {
        if self.said.is_to_be_said(kind, 1, Instant::now()) {
            let words = words();
            if kind == REFUSED {
                info!("{words}");
            } else {
                warn!("{words}");
            }
            self.record(kind, 1);
        }
    }

    /// A sender was welcomed. Most receivers have few, and few come often.
    pub(super) fn welcomed(&self, words: impl FnOnce() -> String) {
        if self.said.is_to_be_said(WELCOMED, WELCOMED_MOST, Instant::now()) {
            info!("{}", words());
        }
    }

    /// Tells of those that were only counted, when it is time.
    pub(super) fn tend(&self) {
        for (kind, times) in self.said.due(Instant::now()) {
            if kind == WELCOMED {
                info!("{times} more: a connection {kind}");
                continue;
            }
            warn!("{times} more: a connection {kind}");
            self.record(kind, times);
        }
    }

    /// Records those that were only counted: nobody will ask again.
    pub(super) fn end(&self) {
        for (kind, times) in self.said.rest().into_iter().filter(|(kind, _)| *kind != WELCOMED) {
            self.record(kind, times);
        }
    }

    fn record(&self, kind: Kind, times: u64) {
        let of = if kind == UNSTORED {
            FaultKind::Fault
        } else {
            FaultKind::Peer
        };
        self.recorder.note_faults(of, "a connection", kind, times);
    }
}

fn kind_of(error: &ConnectionError) -> Kind {
    match error {
        ConnectionError::Classic(ClassicError::Group(_)) => REFUSED,
        ConnectionError::Classic(ClassicError::Spill(_)) => UNSTORED,
        ConnectionError::Classic(ClassicError::Long { .. }) => "of an original sender sent too much at once",
        ConnectionError::Classic(_) => "of an original sender sent what cannot be understood",
        ConnectionError::Net(NetError::Silent(_)) => "was silent for too long",
        ConnectionError::Net(NetError::Slow(_)) => "was too slow",
        ConnectionError::Net(NetError::Frame(_)) => "does not speak hog's protocol",
        ConnectionError::Net(NetError::Long { .. }) => "sent too much at once",
        ConnectionError::Net(_) | ConnectionError::Io(_) => "failed",
        ConnectionError::Body { .. } => "sent what cannot be understood",
        ConnectionError::Codec(_) => "sent what does not decompress",
        ConnectionError::Records { .. } => "sent bad records",
        ConnectionError::Unexpected(_) => "sent what no sender sends there",
        ConnectionError::Refused(refuse) if refuse.code != RefuseCode::Storage => REFUSED,
        ConnectionError::Refused(_) | ConnectionError::Store(_) => UNSTORED,
    }
}
