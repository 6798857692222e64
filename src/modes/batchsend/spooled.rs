//! The spool as what the drainer appends to.

use crate::exit::chain;
use crate::fence::Pass;
use crate::formats::table::Table;
use crate::ids::{OwnerId, StreamId};
use crate::modes::drainer::log::{GroupLog, Notice, Reopen};
use crate::os::disk::DiskError;
use crate::seglog::batch::FrameBatch;
use crate::seglog::writer::AppendError;
use crate::stages::spool::{self, Spool};
use std::collections::HashSet;

impl GroupLog for Spool {
    const NAME: &'static str = "spool";

    fn table(&self) -> &Table {
        Self::table(self)
    }

    /// Nobody: the shipper puts the spool's uuid into the ATTACH that it sends.
    fn sender(&self) -> OwnerId {
        OwnerId::NIL
    }

    fn append(&mut self, batch: &mut FrameBatch) -> Result<(), AppendError> {
        Self::append(self, batch)
    }

    fn notices(&mut self) -> Vec<Notice> {
        let said = Self::notices(self).into_iter();
        said.map(|notice| match notice {
            spool::Notice::Calm(words) => Notice::Calm(words),
            spool::Notice::Warning(words) => Notice::Warning(words),
            spool::Notice::Loss(words) => Notice::Loss(words),
        })
        .collect()
    }

    /// A segment whose sync failed is left, also while nothing is appended, so that it can be written anew.
    fn tend(&mut self) {
        // What fails here fails the next append as well, which says so.
        let _ = Self::abandon_failed_segment(self);
    }

    fn abandon_failed_segment(&mut self) -> Result<(), DiskError> {
        Self::abandon_failed_segment(self)
    }

    fn rest(&mut self) {
        Self::rest(self);
    }

    fn know_rings(&mut self, rings: HashSet<StreamId>) {
        self.index().set_rings(&rings);
    }

    fn take_up(&mut self, stream: StreamId) {
        self.index().take_up(stream);
    }

    fn finish(&mut self) -> Result<(), AppendError> {
        Self::finish(self)
    }

    fn guard(&mut self, pass: &Pass) {
        Self::guard(self, pass);
    }

    fn reopen(&self, pass: &Pass) -> Result<Self, String> {
        Self::reopener(self).reopen(pass).map_err(|error| chain(&error))
    }

    fn reopener(&self) -> Box<Reopen<Self>> {
        let reopener = Self::reopener(self);
        Box::new(move |pass| reopener.reopen(pass).map_err(|error| chain(&error)))
    }
}
