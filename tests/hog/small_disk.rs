//! A real file system of a few MiB, for tests of what happens when it is full.
//!
//! It is a tmpfs in a mount namespace of the test's own thread, which the processes that the test starts are in as well: nobody else sees
//! it, and the kernel takes it away with the thread, whatever becomes of the test. That takes root; for others such tests
//! skip, and say so.

use rustix::fs::statvfs;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::UnshareFlags;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A small file system. It goes before the directory that it lies in.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// One of `mib` MiB at `path`, which is made; `None`, and words on stderr, for whoever may not mount.
    pub(crate) fn new(path: PathBuf, mib: usize) -> Option<Self> {
        match Self::mounted(&path, mib) {
            Ok(()) => Some(Self { path }),
            Err(error) => {
                eprintln!("skipped: a file system of {mib} MiB cannot be mounted: {error}");
                None
            }
        }
    }

    fn mounted(path: &Path, mib: usize) -> std::io::Result<()> {
        std::fs::create_dir_all(path)?;
        // What makes it unsafe is the sharing of descriptors, which stays as it is.
        #[allow(deprecated)]
        rustix::thread::unshare(UnshareFlags::NEWNS | UnshareFlags::FS)?;
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        let options = CString::new(format!("size={mib}m,mode=0700"))?;
        mount("hog-test", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))?;
        Ok(())
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        let stat = statvfs(&self.path).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Fills it up but for `rest` bytes, as a stranger would.
    pub(crate) fn fill_but(&self, rest: u64) -> Filling {
        let path = self.path.join("filling");
        let mut file = File::create(&path).unwrap();
        let page = [1; 4096];
        while self.free() > rest && file.write_all(&page).is_ok() {}
        Filling { path }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH); // it goes with the thread at the latest
    }
}

/// A stranger's file.
pub(crate) struct Filling {
    path: PathBuf,
}

impl Filling {
    /// The stranger deletes it.
    pub(crate) fn remove(self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}
