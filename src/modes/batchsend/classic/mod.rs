//! Shipping to a receiver of the original system: `--to hobbes://HOST:PORT`, or `--to either://HOST:PORT` ([`super::peer`]) where that is one.
//!
//! Its protocol has no positions, and its receiver cannot say what it has. So the spool remembers what it answered for ([`note`]), and what is
//! in doubt after a kill is sent again as the very same bytes, which that receiver stores a second time if it had them: its
//! protocol allows no better. Each stream has a connection of its own, as each queue of the original has; on all of them
//! together one segment is on its way at a time, in the order of the spool.
//!
//! Otherwise this is a shipper like others: it walks the spools of its route in their order, acknowledges to their index what was
//! answered for, so that segments are deleted, and tries again for ever where nobody answers. Refused is what the original
//! could not take ([`announce`]): it is left out, counted, and reported as lost.

mod announce;
mod lane;
mod leg;
mod link;
mod note;

use super::shipper::ShipperOptions;
use crate::modes::recorder::Recorder;
use crate::modes::supervise::Post;
use crate::stages::spool::SpoolIndex;
use hogstat::SenderStatus;
use leg::Leg;
use std::sync::Arc;
use std::time::Duration;
use tracing::info;

pub(super) use link::{Broken, ask};

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Went {
    /// All is brought, or it is time to stop.
    Over,
    /// The receiver was asked, and speaks our protocol.
    SpeaksOurs,
}

/// How often a route looks whether there is something to do on its last leg, when nobody rings.
const LOOK: Duration = Duration::from_millis(100);

/// Ships the spools of `legs`, one after the other, to the original receiver that their options name, until all is brought or it is time to stop.
///
/// # Errors
/// When what is on its way cannot be read from the disk.
pub(super) fn run(
    legs: &[(ShipperOptions, Arc<SpoolIndex>)],
    recorder: &Recorder,
    post: &Post,
) -> Result<Went, String> {
    let mut opened: Vec<Option<Leg>> = legs.iter().map(|_| None).collect();
    while !post.stop.is_set() {
        let is_done = |(options, index): &(ShipperOptions, Arc<SpoolIndex>)| {
            options
                .up_to
                .is_some_and(|run| index.has_delivered(&options.destination, run))
        };
        // When streams of a leg that was done are taken up, it is gone back to.
        let Some(next) = legs.iter().position(|leg| !is_done(leg)) else {
            break;
        };
        if opened[next].is_none() {
            let (options, index) = &legs[next];
            if options.up_to.is_some() {
                let (group, directory) = (&options.group, options.directory.display());
                let destination = &options.destination;
                info!("group {group}: what earlier runs left in {directory} goes to {destination} first");
            }
            let mut leg = Leg::open(options, index, recorder, post)?;
            // What an older spool brought of a stream is not brought again.
            for earlier in opened.iter().flatten() {
                leg.know(earlier);
            }
            opened[next] = Some(leg);
        }
        // What older spools did meanwhile is known to them; what comes of it, to this one.
        if let Some(leg) = &mut opened[next]
            && leg.go_on(LOOK) == Went::SpeaksOurs
        {
            return Ok(Went::SpeaksOurs);
        }
    }
    if let Some((options, _)) = legs.last()
        && post.pass.is_current()
    {
        recorder.sender_state(&options.group, &options.destination, SenderStatus::Closed);
    }
    Ok(Went::Over)
}
