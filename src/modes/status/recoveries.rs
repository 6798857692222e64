//! What `hog status` says of recoveries: of each ring that an earlier session left, and each destination, whether it is over and how.

use super::time_of;
use hogstat::Recovery;
use serde::Serialize;

/// What an earlier session left of one ring for one destination.
#[derive(Debug, Serialize)]
pub struct RecoveryStatus {
    /// The ring's uuid.
    pub ring: String,
    /// Its group.
    pub group: String,
    /// `HOST:PORT`.
    pub destination: String,
    /// The session that left it.
    pub left_by: String,
    /// The latest session that works, or worked, at it.
    pub session: String,
    /// Below this position the destination was known to have all.
    pub from: u64,
    /// Up to here it is owed the stream.
    pub to: u64,
    /// `begun`, `delivered`, `lost` or `abandoned`.
    pub outcome: String,
    /// When it began.
    pub began: String,
    /// When it was over.
    pub ended: Option<String>,
}

impl RecoveryStatus {
    pub(super) fn of(recovery: &Recovery) -> Self {
        Self {
            ring: recovery.ring.to_string(),
            group: recovery.group.clone(),
            destination: recovery.address.clone(),
            left_by: recovery.original_session.to_string(),
            session: recovery.session.to_string(),
            from: recovery.from,
            to: recovery.to,
            outcome: recovery.outcome.to_string(),
            began: time_of(recovery.began),
            ended: recovery.ended.map(time_of),
        }
    }

    /// In a line for people.
    pub(super) fn in_words(&self) -> String {
        let Self {
            ring,
            group,
            destination,
            left_by,
            session,
            from,
            to,
            outcome,
            ..
        } = self;
        format!(
            "recovery of ring {ring} of group {group} to {destination}, positions {from} to {to} as session {left_by} left them: {outcome}, \
             by session {session}"
        )
    }
}
