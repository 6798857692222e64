//! A route to one destination: shippers of several spools that follow each other, in the order of [`crate::stages::route`]. Whatever may be missing in
//! front of a later spool's records has been brought from an earlier one by then.

use super::Shipper;
use hog_ring::mutant;
use hogstat::SenderStatus;
use std::sync::Arc;
use tracing::info;

/// Shippers to one destination, of which the last may have no end.
pub struct Route {
    legs: Vec<Shipper>,
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
        Self { legs }
    }

    /// Ships leg after leg until all is done or it is time to stop. When streams of a leg that was done are taken up, it is gone back to.
    ///
    /// # Errors
    /// When a context cannot be made.
    pub fn run(&mut self) -> Result<(), String> {
        if mutant::on("gap-over-older-backlog") && self.legs.len() > 1 {
            self.legs.drain(..self.legs.len() - 1);
        }
        while let Some(leg) = self.legs.iter_mut().find(|leg| !leg.is_done()) {
            if leg.options.up_to.is_some() {
                let (group, destination) = (&leg.options.group, &leg.options.destination);
                let directory = leg.options.directory.display();
                info!("group {group}: what earlier runs left in {directory} goes to {destination} first");
            }
            leg.run()?;
            if leg.stop.is_set() || leg.was_refused {
                break;
            }
        }
        if let Some(leg) = self.legs.last() {
            let (group, destination) = (&leg.options.group, &leg.options.destination);
            leg.recorder.sender_state(group, destination, SenderStatus::Closed);
        }
        Ok(())
    }
}
