//! Names, and what becomes of changes to them when the power fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    File(u64),
}

impl Node {
    pub(super) fn inode(&self) -> Option<u64> {
        match self {
            Self::File(inode) => Some(*inode),
            Self::Directory => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

impl Change {
    pub(super) fn names(&self) -> Vec<&PathBuf> {
        match self {
            Self::Set(path, _) | Self::Remove(path) => vec![path],
            Self::Rename(from, to, _) => vec![from, to],
        }
    }

    pub(super) fn is_in(&self, directory: &Path) -> bool {
        self.names().iter().any(|name| name.parent() == Some(directory))
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Set(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

/// The power fails: of the changes to each group of names that renames connect, some first ones are in `durable` after it.
pub(super) fn cut(changes: Vec<Change>, durable: &mut BTreeMap<PathBuf, Node>, random: &mut fastrand::Rng) {
    for (_, changes) in groups(changes) {
        let survivors = random.usize(0..=changes.len());
        for change in &changes[..survivors] {
            change.apply(durable);
        }
    }
    // What lies in a directory whose own name was lost is lost with it.
    let named: BTreeSet<PathBuf> = durable.keys().cloned().collect();
    durable.retain(|path, _| path.ancestors().all(|above| named.contains(above)));
}

/// The changes by the names that they have to do with, oldest first in each group.
fn groups(changes: Vec<Change>) -> Vec<(BTreeSet<PathBuf>, Vec<Change>)> {
    let mut groups: Vec<(BTreeSet<PathBuf>, Vec<Change>)> = Vec::new();
    for change in changes {
        let names: BTreeSet<PathBuf> = change.names().into_iter().cloned().collect();
        let (mut touched, rest): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(group, _)| !group.is_disjoint(&names));
        groups = rest;
        let (mut group, mut list) = (names, Vec::new());
        for (names, changes) in &mut touched {
            group.append(names);
            list.append(changes);
        }
        list.push(change);
        groups.push((group, list));
    }
    groups
}
