//! The status for people: a line for each thing, the most urgent first.

use super::Status;

/// The status as lines.
pub(super) fn of(status: &Status) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let degraded = if status.is_degraded {
        "; degraded, see the faults"
    } else {
        ""
    };
    // Writing to a String cannot fail.
    let _ = match &status.running {
        Some(pid) => writeln!(
            text,
            "running as process {pid}; {} bytes unacknowledged{degraded}",
            status.unacked_bytes
        ),
        None => writeln!(
            text,
            "not running; {} bytes unacknowledged{degraded}",
            status.unacked_bytes
        ),
    };
    for group in &status.groups {
        let _ = match (&group.archive, &group.spool) {
            (Some(archive), _) => writeln!(
                text,
                "group {}: {} bytes in rings, {} in the archive {archive} and not synced, {} records dropped",
                group.group, group.ring_bytes, group.unsynced_bytes, group.dropped_records
            ),
            (None, spool) => writeln!(
                text,
                "group {}: {} bytes in rings, {} in the spool {}, run {}, {} records dropped",
                group.group,
                group.ring_bytes,
                group.spool_bytes,
                spool.as_deref().unwrap_or_default(),
                group.epoch.unwrap_or_default(),
                group.dropped_records
            ),
        };
        if group.spool.is_some() {
            let bound = group.spool_max.map_or_else(String::new, |max| format!(" of {max}"));
            let _ = writeln!(
                text,
                "  spool: {} bytes{bound} on the disk, {} of them delivered",
                group.spool_used, group.retained_bytes
            );
        }
        for destination in &group.destinations {
            let state = destination.state.as_deref().unwrap_or("not tried yet");
            let age = destination
                .oldest_unsent_age
                .map(|age| format!(", the oldest {age:.1} s old"))
                .unwrap_or_default();
            let _ = writeln!(
                text,
                "  to {}: {state}, {} bytes to go{age}",
                destination.address, destination.unacked_bytes
            );
        }
    }
    for region in &status.regions {
        let _ = writeln!(
            text,
            "ring {} of group {}: {}, position {}",
            region.name, region.group, region.state, region.position
        );
    }
    for recovery in &status.recoveries {
        let _ = writeln!(text, "{}", recovery.in_words());
    }
    for session in &status.sessions {
        let is_this = status.running == Some(session.pid.to_string());
        let ended = match &session.ended {
            Some(ended) => format!("ended {ended}"),
            None if is_this => match &session.synced_by {
                Some(synced_by) => format!("goes on, files are synced by {synced_by}"),
                None => "goes on".to_owned(),
            },
            None => "not ended in order".to_owned(),
        };
        let _ = writeln!(
            text,
            "session {} {} (process {}): {}, {ended}",
            session.id, session.role, session.pid, session.started
        );
    }
    for fault in &status.faults {
        let _ = writeln!(text, "fault {}", fault.in_words());
    }
    text
}
