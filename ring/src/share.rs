//! Who may use a group's directory and the files in it: their owner alone, or the members of one Unix group as well.
//!
//! Whatever is shared gets its group first and the mode after that, through its descriptor, before it has the name by
//! which others find it: at no time can anybody else open it, and the process's umask has no say.
//!
//! **What sharing means.** Members of the group trust one another: each can read what the others log, spoil or remove
//! their rings, and by cutting a ring's file short end the process that writes it. A drainer notices all that; it
//! costs the ring that was touched, and the drainer nothing.

use crate::error::{Error, io_error};
use rustix::fs::{Gid, Mode, fchmod, fchown, fstat};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::path::Path;
use std::str::FromStr;

/// Mode of a file that is shared.
const SHARED_FILE: u32 = 0o660;
/// Mode of a directory that is shared: set-group-id, so that what programs that know nothing of this make there belongs to
/// the group too.
const SHARED_DIRECTORY: u32 = 0o2770;

/// A Unix group whose members may use rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmGroup(u32);

impl ShmGroup {
    /// The group with this number.
    #[must_use]
    pub const fn of_gid(gid: u32) -> Self {
        Self(gid)
    }

    /// Its number.
    #[must_use]
    pub const fn gid(self) -> u32 {
        self.0
    }

    /// Gives a file that this process owns to the group, mode 0660. One that the group may use already is left alone, whoever
    /// owns it. `path` is for the error's words.
    ///
    /// # Errors
    /// It is somebody else's, or this process is no member of the group: [`Error::NotShared`]. Or the kernel refused otherwise.
    pub fn share_file(self, file: impl AsFd, path: &Path) -> Result<(), Error> {
        self.share(file, path, SHARED_FILE)
    }

    /// As [`Self::share_file`], for a directory.
    pub(crate) fn share_directory(self, directory: impl AsFd, path: &Path) -> Result<(), Error> {
        self.share(directory, path, SHARED_DIRECTORY)
    }

    fn share(self, file: impl AsFd, path: &Path, wanted: u32) -> Result<(), Error> {
        let found = fstat(&file).map_err(io_error("look at", path))?;
        let mode = found.st_mode & 0o7777;
        if found.st_gid == self.0 && mode & wanted & 0o777 == wanted & 0o777 {
            return Ok(());
        }
        let refused = |errno: Errno| match errno {
            Errno::PERM => Error::NotShared {
                path: path.to_owned(),
                mode,
                gid: found.st_gid,
                wanted: self.0,
            },
            errno => io_error("share", path)(errno),
        };
        if found.st_gid != self.0 {
            fchown(&file, None, Some(Gid::from_raw(self.0))).map_err(refused)?;
        }
        fchmod(&file, Mode::from(wanted)).map_err(refused)
    }
}

impl FromStr for ShmGroup {
    type Err = UnknownShmGroup;

    /// A group's number, or its name as this machine knows it.
    fn from_str(text: &str) -> Result<Self, UnknownShmGroup> {
        if let Ok(gid) = text.parse()
            && gid != u32::MAX
        {
            return Ok(Self(gid));
        }
        let unknown = |why: String| UnknownShmGroup {
            name: text.to_owned(),
            why,
        };
        match nix::unistd::Group::from_name(text) {
            Ok(Some(group)) => Ok(Self(group.gid.as_raw())),
            Ok(None) => Err(unknown("there is no such group on this machine".to_owned())),
            Err(error) => Err(unknown(format!("it cannot be looked up: {}", error.desc()))),
        }
    }
}

/// The text names no Unix group.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("Unix group {name:?}: {why}")]
pub struct UnknownShmGroup {
    /// What was to be one.
    pub name: String,
    /// Why it is none.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn mode_and_group(path: &Path) -> (u32, u32) {
        let metadata = std::fs::metadata(path).unwrap();
        (metadata.permissions().mode() & 0o7777, metadata.gid())
    }

    #[test]
    fn groups_are_known_by_number_and_by_name() {
        assert_eq!("990".parse(), Ok(ShmGroup::of_gid(990)));
        assert_eq!("root".parse(), Ok(ShmGroup::of_gid(0)));
        for nothing in ["", "-1", "4294967295", "no-such-group-here"] {
            let error = nothing.parse::<ShmGroup>().unwrap_err();
            assert!(error.to_string().contains(&format!("{nothing:?}")), "{error}");
        }
    }

    #[test]
    fn what_is_shared_has_the_group_and_its_modes_and_is_left_alone_after_that() {
        let directory = tempfile::tempdir().unwrap();
        let group = ShmGroup::of_gid(rustix::process::getegid().as_raw());
        let open = |path: &Path| std::fs::File::open(path).unwrap();
        group.share_directory(open(directory.path()), directory.path()).unwrap();
        assert_eq!(mode_and_group(directory.path()), (0o2770, group.gid()));
        let path = directory.path().join("file");
        std::fs::write(&path, b"").unwrap();
        group.share_file(open(&path), &path).unwrap();
        assert_eq!(mode_and_group(&path), (0o660, group.gid()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        group.share_file(open(&path), &path).unwrap();
        assert_eq!(mode_and_group(&path).0, 0o664);
    }
}
