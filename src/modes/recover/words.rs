//! Plans of recovery in words, for logs and people.

use crate::stages::recovery::{Action, Shipment, Step};

/// One step, as what is done.
#[must_use]
pub fn of_step(step: &Step) -> String {
    match step {
        Step::Ship(shipment) => format!("ship {}", of_shipment(shipment)),
        Step::LeaveBacklog(shipment) => format!("leave {}", of_shipment(shipment)),
        Step::Region {
            region,
            action,
            from,
            bytes,
        } => {
            let ring = format!("ring {} ({})", region.name, region.path);
            match action {
                Action::Resume => {
                    format!("go on draining {ring} from position {from}, {bytes} bytes: its producer lives")
                }
                Action::Drain => format!("drain {ring} to its end, {bytes} bytes, and delete it: its producer is gone"),
                Action::Keep => format!("drain {ring}, {bytes} bytes, and keep it for the next run of its producer"),
                Action::Delete => format!("delete {ring}: its end is spooled"),
                Action::Note => format!("note that {ring} ended at position {from}"),
                Action::GiveUp => {
                    format!("give up what {ring} holds beyond position {from}, {bytes} bytes: it was abandoned")
                }
                Action::Lose => {
                    format!("give up {ring}: its memory is gone, with whatever it held beyond position {from}")
                }
                Action::Leave => format!("leave {ring} untouched, {bytes} bytes"),
            }
        }
    }
}

/// The word for an action in JSON.
#[must_use]
pub fn of_action(action: Action) -> &'static str {
    match action {
        Action::Resume => "resume",
        Action::Drain => "drain",
        Action::Keep => "keep",
        Action::Delete => "delete",
        Action::Note => "note",
        Action::GiveUp => "give_up",
        Action::Lose => "lose",
        Action::Leave => "leave",
    }
}

fn of_shipment(shipment: &Shipment) -> String {
    let session = match shipment.session {
        0 => "a forgotten session".to_owned(),
        number => format!("session {number}"),
    };
    format!(
        "{} bytes of {} streams from {session} in {} to {}",
        shipment.bytes,
        shipment.streams,
        shipment.spool.display(),
        shipment.destination
    )
}
