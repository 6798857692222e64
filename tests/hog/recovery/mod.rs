//! What one run leaves and the next finds: recovered, recorded, left alone, refused or given up.

mod archives;
mod by_hand;
mod gc;
mod left;
mod recorded;
mod required;
mod spools;

use crate::roles::Finished;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A receiver that nobody is: what is owed to it stays owed.
const NOBODY: &str = "127.0.0.1:9";

/// The contents of all files in `directories`, but for those of whoever runs there: locks, doorbells and the reserve.
fn contents(directories: &[&Path]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in directories
        .iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flatten()
    {
        let path = entry.unwrap().path();
        let is_left = path
            .file_name()
            .is_some_and(|name| name != "lock" && name != "doorbell" && name != "reserve");
        if is_left && path.is_file() {
            contents.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    contents
}

impl Scene {
    /// Runs `hog recover` on the sender's store.
    fn recover(&self, arguments: &[&str]) -> Finished {
        let (store, mut all) = (self.store(), words(&["recover", "-m"]));
        all.push(store.as_os_str());
        all.extend(words(arguments));
        all.extend(["--shm-dir".as_ref(), self.shm_dir().as_os_str()]);
        self.run("recover", &all)
    }

    /// Waits until nothing is in a ring alone.
    fn wait_spooled(&self) {
        wait_until("all is in the spool", || {
            let (tail, head) = self.progress();
            tail == head && !self.spooled().is_empty()
        });
    }

    /// The directory of the group's rings.
    fn ring_directory(&self) -> PathBuf {
        hog_ring::group_dir(self.shm_dir(), GROUP)
    }

    /// The sender's database, to be read.
    pub(crate) fn database(&self) -> hogstat::Stat {
        let mut opened = None;
        wait_until("there is a database", || {
            opened = hogstat::Stat::open_read_only(&self.store().join("hogstat.db")).ok();
            opened.is_some()
        });
        opened.unwrap()
    }
}
