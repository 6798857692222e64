//! How a track comes by the next file of its name: it opens whatever the name shows, and what it showed since it was looked at last.

use super::Shared;
use super::elsewhere::Known;
use super::reading::Reading;
use super::rotated::missed;
use super::track::{PAUSE_FAILED, Track, Turn};
use crate::modes::engine::input::FileInput;
use crate::modes::engine::lines::FeedError;
use crate::modes::engine::state::{FileId, HELD_MAX};
use std::io;
use std::time::Instant;
use tracing::{info, warn};

/// Files of one name that are held open at a time until it is their turn.
const WAITING_MAX: usize = 16;

impl Track {
    /// Begins the next file.
    pub(super) fn begin(&mut self) -> Turn {
        let Some(reading) = self.waiting.pop_front() else {
            return Turn::Idle;
        };
        info!(
            "logging {} from byte {}",
            reading.path().display(),
            reading.place.offset()
        );
        self.state.held.retain(|mark| mark.file != *reading.id());
        self.state.current = Some(reading.place.mark());
        self.complaint.clear();
        self.reading = Some(reading);
        Turn::More
    }

    /// Has a file wait until those before it are left. `false`: not yet. Of one that another ring began this ring must know first: the other one may
    /// forget it then.
    fn hold(&mut self, shared: &mut Shared<'_>, reading: Reading) -> Result<bool, FeedError> {
        if reading.place.offset() > 0 {
            if self.state.held.len() >= HELD_MAX {
                return Ok(false);
            }
            if !self.have_ring(shared)? {
                return Ok(false); // what is known of this name is another ring's word now
            }
            self.state.held.push(reading.place.mark());
            let committed = self.commit_state();
            if !matches!(committed, Ok(true)) {
                self.state.held.pop();
                return committed;
            }
        }
        shared.taken.open(reading.id(), self.number);
        self.waiting.push_back(reading);
        Ok(true)
    }

    /// Opens the file that the name shows now, and those that it showed since it was looked at last: from now on they stay readable,
    /// whatever becomes of their names.
    pub(super) fn hold_shown(&mut self, shared: &mut Shared<'_>) -> Result<(), FeedError> {
        if self.waiting.len() >= WAITING_MAX {
            return Ok(()); // births tell later what was missed
        }
        let input = match FileInput::open(&self.name.path) {
            Ok(input) => input,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // renamed just now
            Err(error) => {
                self.complain(&format!("cannot be read, which is tried again: {error}"));
                self.pause = PAUSE_FAILED;
                return Ok(());
            }
        };
        let file = input.id()?;
        if let Some(number) = self.late.iter().position(|late| *late.id() == file) {
            // It was renamed back.
            if self.state.held.len() >= HELD_MAX {
                return Ok(());
            }
            self.state.held.push(self.state.late.remove(number));
            let mut reading = self.late.remove(number);
            reading.set_path(input.path);
            self.waiting.push_back(reading);
            return Ok(());
        }
        if shared.taken.is_known(&file) {
            return Ok(());
        }
        let known = shared.ask_elsewhere(&file);
        match known {
            Known::No | Known::UpTo(_) => {}
            Known::Living => {
                self.complain("is logged by another engine, under another name");
                self.pause = PAUSE_FAILED;
                return Ok(());
            }
            Known::Done => {
                shared.taken.done_elsewhere(&file);
                return Ok(());
            }
        }
        self.is_moving = false;
        self.hold_missed(shared, &file)?;
        if !self.is_moving {
            self.hold(shared, begun(input, &known)?)?;
        }
        Ok(()) // or in a later turn
    }

    /// Opens the files that had the name between the file that was held last and `present`, which it shows now.
    fn hold_missed(&mut self, shared: &mut Shared<'_>, present: &FileId) -> Result<(), FeedError> {
        let Some(former) = self.last_held() else { return Ok(()) };
        for (directory, name) in self.directories() {
            let files = match shared.listings.of(&directory, Instant::now()) {
                Ok(listing) => listing.files.clone(),
                Err(error) => {
                    warn!("cannot look through {}: {error}", directory.display());
                    continue;
                }
            };
            let named: Vec<(String, FileId)> = files
                .iter()
                .map(|(name, id)| (name.to_string_lossy().into_owned(), *id))
                .collect();
            for number in missed(&name, &former, Some(present), &named) {
                let (file_name, id) = &files[number];
                if shared.taken.is_known(id) {
                    continue;
                }
                let known = shared.ask_elsewhere(id);
                if matches!(known, Known::Living | Known::Done) {
                    continue;
                }
                if self.waiting.len() >= WAITING_MAX {
                    self.is_moving = true;
                    return Ok(());
                }
                let path = directory.join(file_name);
                match FileInput::open(&path).and_then(|input| begun(input, &known)) {
                    Ok(reading) if reading.id() == id => {
                        info!("{} was called {name} for a while: logging it too", path.display());
                        if !self.hold(shared, reading)? {
                            self.is_moving = true;
                            return Ok(());
                        }
                    }
                    Ok(_) => self.is_moving = true, // renamed meanwhile
                    Err(error) if error.kind() == io::ErrorKind::NotFound => self.is_moving = true,
                    Err(error) => warn!("cannot read {}, which was {name} for a while: {error}", path.display()),
                }
            }
        }
        Ok(())
    }

    /// The file of this name that was held last.
    fn last_held(&self) -> Option<FileId> {
        let held = self
            .waiting
            .back()
            .or(self.reading.as_ref())
            .map(|reading| *reading.id());
        held.or(self.former).or(self.late.last().map(|late| *late.id()))
    }
}

/// Begins to read `input`, where another ring, whose owner is dead, left it.
fn begun(input: FileInput, known: &Known) -> io::Result<Reading> {
    let offset = match known {
        Known::UpTo(mark) if input.is_where(mark)? => mark.offset,
        _ => 0,
    };
    Reading::new(input, offset)
}
