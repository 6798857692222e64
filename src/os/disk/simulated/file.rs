//! What a process does with an open file of a simulated disk.

use super::{Disk, State, broken, full, refused};
use hog_ring::simulation;
use std::io;

/// An open file of a simulated disk.
#[derive(Debug)]
pub(in crate::os::disk) struct File {
    pub(super) disk: Disk,
    pub(super) inode: u64,
}

impl File {
    /// Writes in order; killed in it, or without room, or broken, it leaves some first bytes written.
    pub(in crate::os::disk) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.enter()?;
        let cut = state.random.usize(0..=bytes.len());
        let one_in = state.faults.write;
        if state.chance(one_in) {
            state.inode(self.inode)?.write(&bytes[..cut], offset);
            return Err(broken());
        }
        let len = state.inode(self.inode)?.seen.len() as u64;
        let reserved = state.inode(self.inode)?.allocated;
        let grows = (offset + bytes.len() as u64).saturating_sub(len.max(reserved));
        let room = state.room_for(grows);
        if room < grows {
            let fits = bytes.len() - usize::try_from(grows - room).unwrap_or(bytes.len());
            state.inode(self.inode)?.write(&bytes[..fits], offset);
            return Err(full());
        }
        state.inode(self.inode)?.write(&bytes[..cut], offset);
        if simulation::is_to_hang() {
            state.late.push((self.inode, offset, bytes.to_vec()));
            drop(state);
            simulation::hang();
        }
        drop(state);
        simulation::point();
        let mut state = self.disk.lock();
        state.inode(self.inode)?.write(bytes, offset);
        drop(state);
        simulation::point();
        Ok(())
    }

    pub(in crate::os::disk) fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        if simulation::is_killed() {
            return Err(refused());
        }
        let mut state = self.disk.lock();
        let one_in = state.faults.read;
        if state.chance(one_in) {
            return Err(broken());
        }
        let inode = state.inode(self.inode)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(inode.seen.len());
        let read = out.len().min(inode.seen.len() - from);
        out[..read].copy_from_slice(&inode.seen[from..from + read]);
        Ok(read)
    }

    pub(in crate::os::disk) fn sync(&self) -> io::Result<()> {
        self.disk.may_be_cut(false);
        let mut state = self.disk.enter()?;
        state.syncs += 1;
        let one_in = state.faults.sync;
        let fails = state.chance(one_in);
        let State { random, inodes, .. } = &mut *state;
        let inode = inodes.get_mut(&self.inode).ok_or_else(broken)?;
        if fails {
            inode.lose_some(random);
            return Err(broken());
        }
        inode.sync();
        drop(state);
        self.disk.may_be_cut(true);
        simulation::point();
        Ok(())
    }

    pub(in crate::os::disk) fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        Ok(state.inode(self.inode)?.seen.len() as u64)
    }

    pub(in crate::os::disk) fn allocate(&self, bytes: u64) -> rustix::io::Result<()> {
        let mut state = self.disk.enter().map_err(|_| rustix::io::Errno::IO)?;
        let inode = state.inode(self.inode).map_err(|_| rustix::io::Errno::IO)?;
        let has = (inode.seen.len() as u64).max(inode.allocated);
        let more = bytes.saturating_sub(has);
        if state.room_for(more) < more {
            return Err(rustix::io::Errno::NOSPC);
        }
        let inode = state.inode(self.inode).map_err(|_| rustix::io::Errno::IO)?;
        inode.allocated = inode.allocated.max(bytes);
        let len = usize::try_from(bytes).unwrap_or(0).min(1 << 16);
        if inode.seen.len() < len {
            inode.seen.resize(len, 0);
        }
        Ok(())
    }
}
