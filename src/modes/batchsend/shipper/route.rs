//! A route to one destination: shippers of several spools that follow each other, in the order of [`crate::stages::route`]. Whatever may be missing in
//! front of a later spool's records has been brought from an earlier one by then.

use super::Shipper;
use hog_ring::mutant;
use hogstat::SenderStatus;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::info;

/// Shippers to one destination, of which the last may have no end.
pub struct Route {
    legs: Vec<Arc<Shipper>>,
}

impl Route {
    /// A route of these legs.
    #[must_use]
    pub fn new(mut legs: Vec<Shipper>) -> Self {
        let mut before = Vec::new();
        for leg in &mut legs {
            leg.before.clone_from(&before);
            before.extend(leg.options.up_to.map(|run| (Arc::clone(&leg.index), run)));
        }
        if mutant::on("gap-over-older-backlog") && legs.len() > 1 {
            legs.drain(..legs.len() - 1);
        }
        Self {
            legs: legs.into_iter().map(Arc::new).collect(),
        }
    }

    /// The shipper whose turn it is: the first that has anything left to bring, or may get more.
    #[must_use]
    pub fn next_leg(&self) -> Option<&Arc<Shipper>> {
        self.legs.iter().find(|leg| !leg.is_done())
    }

    /// Whether the destination may be either kind of receiver, and was found to be one of the original: what is left is to be brought in its way.
    #[must_use]
    pub fn met_an_original(&self) -> bool {
        self.legs.iter().any(|leg| leg.met_an_original.load(Ordering::Relaxed))
    }

    /// Ships leg after leg until all is done or it is time to stop. When streams of a leg that was done are taken up, it is gone back to.
    ///
    /// # Errors
    /// When a context cannot be made.
    pub fn run(&self) -> Result<(), String> {
        while let Some(leg) = self.next_leg() {
            if leg.options.up_to.is_some() {
                let (group, destination) = (&leg.options.group, &leg.options.destination);
                let directory = leg.options.directory.display();
                info!("group {group}: what earlier runs left in {directory} goes to {destination} first");
            }
            leg.run()?;
            if self.met_an_original() {
                return Ok(());
            }
            if leg.stop.is_set() || leg.was_refused.load(Ordering::Relaxed) {
                break;
            }
        }
        if let Some(leg) = self.legs.last()
            && leg.pass.is_current()
        {
            let (group, destination) = (&leg.options.group, &leg.options.destination);
            leg.recorder.sender_state(group, destination, SenderStatus::Closed);
        }
        Ok(())
    }
}
