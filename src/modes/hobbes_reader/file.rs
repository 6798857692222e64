//! A file that is read here and there, some bytes at a time, and may be growing: what was read last is kept for a while.
//!
//! What is kept may be older than what is in the file. So [`CachedFile::look_again`] forgets all of it, and whoever wants what came later calls that.

use crate::formats::fregion::source::Source;
use crate::os::disk::{DiskError, ReadFile};
use std::io;
use std::path::Path;

const BLOCK_BYTES: usize = 16 << 10;
const SETS: usize = 128;
/// In each set: 8 MiB in all.
const WAYS: usize = 4;

/// A file and some of its blocks.
pub(super) struct CachedFile {
    file: ReadFile,
    length: u64,
    sets: Vec<Set>,
}

/// Blocks that would be kept in the same place.
#[derive(Default)]
struct Set {
    blocks: Vec<Block>,
    /// Of those, which goes next.
    oldest: usize,
}

struct Block {
    number: u64,
    bytes: Box<[u8]>,
}

impl CachedFile {
    pub(super) fn open(path: &Path) -> Result<Self, DiskError> {
        let file = ReadFile::open(path)?;
        Ok(Self {
            length: file.len()?,
            file,
            sets: Vec::new(),
        })
    }

    /// Takes notice of what was written meanwhile.
    pub(super) fn look_again(&mut self) -> Result<(), DiskError> {
        self.length = self.file.len()?;
        self.sets.clear();
        Ok(())
    }

    fn read_past(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.file.read_at(out, offset).map_err(|error| error.source)?;
        if read < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into()); // it was cut short meanwhile
        }
        Ok(())
    }

    /// The bytes of a block, as many as there are.
    fn block(&mut self, number: u64) -> io::Result<&[u8]> {
        if self.sets.is_empty() {
            self.sets.resize_with(SETS, Set::default);
        }
        let place = usize::try_from(number % SETS as u64).unwrap_or(0);
        let found = self.sets[place].blocks.iter().position(|block| block.number == number);
        let way = match found {
            Some(way) => way,
            None => {
                let begin = number * BLOCK_BYTES as u64;
                let length = self.length.saturating_sub(begin).min(BLOCK_BYTES as u64);
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)].into_boxed_slice();
                self.read_past(begin, &mut bytes)?;
                self.sets[place].put(Block { number, bytes })
            }
        };
        Ok(&self.sets[place].blocks[way].bytes)
    }
}

impl Set {
    fn put(&mut self, block: Block) -> usize {
        if self.blocks.len() < WAYS {
            self.blocks.push(block);
            return self.blocks.len() - 1;
        }
        let way = self.oldest;
        self.blocks[way] = block;
        self.oldest = (way + 1) % WAYS;
        way
    }
}

impl Source for CachedFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, mut offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        if out.len() >= BLOCK_BYTES {
            return self.read_past(offset, out);
        }
        while !out.is_empty() {
            let within = usize::try_from(offset % BLOCK_BYTES as u64).unwrap_or(0);
            let block = self.block(offset / BLOCK_BYTES as u64)?;
            let length = block.len().saturating_sub(within).min(out.len());
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = out.split_at_mut(length);
            now.copy_from_slice(&block[within..within + length]);
            out = later;
            offset += length as u64;
        }
        Ok(())
    }
}
