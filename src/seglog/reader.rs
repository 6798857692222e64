//! Reads one segment: header, checkpoint, frames; tells a torn end from damage.
//!
//! A frame that is not sound may be the end of a killed writer's last append, or damage to what was written long ago. It is damage when anything
//! in the segment says that the disk was known to hold that place: an earlier frame's durable offset, or that of a sound frame behind it.
//! A reader passes over damage to the next sound frame, and says so; it stops at a torn end.

use crate::formats::body::Seal;
use crate::formats::checkpoint;
use crate::formats::frame::{self, FrameError, FrameHeader, HEADER_LEN, Kind, MAGIC};
use crate::formats::segment::{SEGMENT_HEADER_LEN, SegmentHeader, SegmentHeaderError};
use crate::formats::table::Table;
use crate::limits::CHECKPOINT_MAX;
use crate::os::disk::{DiskError, ReadFile};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes read at once, where what is read lies side by side.
const READ_AHEAD: usize = 64 * 1024;
/// Bytes read at once behind a leap: whoever looks at headers alone leaps from each to the next, and a page is all that is wanted there.
const READ_LEAPT: usize = 4 * 1024;

/// Why a segment cannot be read.
#[derive(Debug, Error)]
pub enum SegmentError {
    /// The file could not be opened or read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not a segment.
    #[error("{} cannot be read: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SegmentHeaderError,
    },
}

/// A frame and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundFrame {
    /// Its checked header.
    pub header: FrameHeader,
    /// Offset of its header in the file.
    pub offset: u64,
}

impl FoundFrame {
    /// Offset behind the frame.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.header.frame_len()
    }
}

/// What comes next in a segment.
#[derive(Debug)]
pub enum Next {
    /// A frame with a sound header; its body is still to be read.
    Frame(FoundFrame),
    /// Bytes that were known durable and are not sound: passed over.
    Damaged {
        /// First offset.
        from: u64,
        /// Offset of the next sound frame, or the end of the file.
        to: u64,
        /// What was wrong at `from`.
        error: FrameError,
        /// The header of the frame there, if that is sound and only the body is not: it says what is touched.
        touched: Option<FrameHeader>,
    },
    /// Nothing more.
    End(Ending),
}

/// How a segment begins.
#[derive(Debug)]
pub enum Head {
    /// With the table of all that came before.
    Whole(Table),
    /// Its writer was killed before the checkpoint was whole: it holds nothing, and its predecessor counts.
    Unfinished,
    /// Its checkpoint is damaged, in words. Sound frames of it may follow.
    Damaged(String),
}

/// Whether a frame belongs to the checkpoint at the head of a segment.
fn is_head(header: &FrameHeader) -> bool {
    header.kind == Kind::Checkpoint && !header.has(frame::UPDATE)
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With SEAL.
    Sealed,
    /// On the end of a frame: its writer lives, or was killed there.
    Open,
    /// Within a frame: its writer was killed there.
    Torn,
}

/// A segment that is being read from its beginning to its end.
pub struct SegmentReader {
    file: ReadFile,
    header: SegmentHeader,
    /// What is wrong with the header in the file, from which `header` was mended.
    header_damage: Option<SegmentHeaderError>,
    /// Offset of the next frame.
    offset: u64,
    /// Nothing behind this offset is looked at.
    limit: u64,
    /// The file was found to be so long, and segments do not shrink: it is asked anew only for what lies behind.
    known_len: u64,
    /// The greatest durable offset that any frame so far has named.
    durable: u64,
    /// The last torn end is not just cut off: what a write that was cut short leaves.
    is_spoilt: bool,
    ahead: Vec<u8>,
    ahead_at: u64,
    /// How much is read at once: from [`READ_LEAPT`] on more and more, up to [`READ_AHEAD`].
    ahead_step: usize,
}

impl SegmentReader {
    /// Opens `path` and checks its header. One in which a single bit is wrong is mended, and [`SegmentReader::header_damage`] tells.
    ///
    /// # Errors
    /// When it cannot be read or is not a segment.
    pub fn open(path: &Path) -> Result<Self, SegmentError> {
        let file = ReadFile::open(path)?;
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let read = file.read_at(&mut bytes, 0)?;
        let (header, header_damage) = match SegmentHeader::decode(&bytes[..read]) {
            Ok(header) => (header, None),
            Err(source) => match SegmentHeader::mend(&bytes) {
                Some(header) if read == SEGMENT_HEADER_LEN => (header, Some(source)),
                _ => {
                    let path = path.to_owned();
                    return Err(SegmentError::Header { path, source });
                }
            },
        };
        Ok(Self::new(file, header, header_damage))
    }

    /// Opens `path`, whose header is beyond mending. `instead` stands for it, but for the uuid that salts the frames: that is taken from the file as it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open_headless(path: &Path, instead: &SegmentHeader) -> Result<Self, SegmentError> {
        let file = ReadFile::open(path)?;
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let read = file.read_at(&mut bytes, 0)?;
        let damage = SegmentHeader::decode(&bytes[..read]).err();
        let header = SegmentHeader {
            segment: SegmentHeader::salt_in(&bytes),
            ..instead.clone()
        };
        Ok(Self::new(file, header, damage))
    }

    fn new(file: ReadFile, header: SegmentHeader, header_damage: Option<SegmentHeaderError>) -> Self {
        Self {
            file,
            header,
            header_damage,
            offset: SEGMENT_HEADER_LEN as u64,
            limit: u64::MAX,
            known_len: 0,
            durable: 0,
            is_spoilt: false,
            ahead: Vec::new(),
            ahead_at: 0,
            ahead_step: READ_LEAPT,
        }
    }

    /// What is wrong with the header in the file, if it had to be mended.
    #[must_use]
    pub fn header_damage(&self) -> Option<&SegmentHeaderError> {
        self.header_damage.as_ref()
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The present length of its file in bytes.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn file_len(&self) -> Result<u64, SegmentError> {
        Ok(self.file.len()?)
    }

    /// Offset of the next frame.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks at nothing behind `limit`: the length that the living writer of the segment says is whole.
    pub fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Looks at nothing behind the present length of the file, and forgets what was read ahead: since then a living
    /// writer may have gone on.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub fn look_again(&mut self) -> Result<(), SegmentError> {
        self.limit = self.file.len()?;
        self.ahead.clear();
        Ok(())
    }

    /// Where a torn end begins that is not just cut off, as a writer leaves it that is killed in a write: bytes of a whole frame are there, and are not
    /// what they should be. A loss of power can leave that, and so can damage that nothing tells from it.
    #[must_use]
    pub fn spoilt_from(&self) -> Option<u64> {
        self.is_spoilt.then_some(self.offset)
    }

    /// Takes the whole file for known to be on disk, because something outside of it says so: what is not sound in it is damage from here on, and no
    /// torn end.
    pub fn know_durable(&mut self) {
        self.durable = u64::MAX;
    }

    /// Behind this offset nothing is looked at.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The table at the head of the segment. To be called first; the frames behind the head come next.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn checkpoint(&mut self) -> Result<Head, SegmentError> {
        let mut items = Vec::new();
        loop {
            let at = self.offset;
            let next = self.next_frame()?;
            let Next::Frame(found) = next else {
                return self.headless(at, next);
            };
            if !is_head(&found.header) {
                self.offset = at;
                return Ok(Head::Damaged(format!(
                    "its checkpoint ends at byte {at} without a last frame"
                )));
            }
            if items.len() + found.header.body_len as usize > CHECKPOINT_MAX {
                return Ok(Head::Damaged(format!(
                    "its checkpoint is longer than {CHECKPOINT_MAX} bytes"
                )));
            }
            if !self.read_body(&found, &mut items)? {
                let next = self.reject(&found)?;
                return self.headless(at, next);
            }
            if found.header.has(frame::LAST) {
                break;
            }
        }
        Ok(match checkpoint::decode(&items) {
            Ok(table) => Head::Whole(table),
            Err(error) => Head::Damaged(format!("its checkpoint makes no sense: {error}")),
        })
    }

    /// What a checkpoint is that is not sound at `at`: unfinished, unless frames stand behind it. Nobody writes those before it is whole.
    fn headless(&mut self, at: u64, next: Next) -> Result<Head, SegmentError> {
        if let Next::Damaged { from, to, error, .. } = next {
            return Ok(Head::Damaged(format!(
                "its checkpoint is damaged from byte {from} to byte {to}: {error}"
            )));
        }
        let mut place = at + 1;
        while let Some(found) = self.search(place)? {
            if !is_head(&found.header) {
                self.offset = found.offset;
                let to = found.offset;
                return Ok(Head::Damaged(format!(
                    "its checkpoint is damaged from byte {at} on, and frames follow at byte {to}"
                )));
            }
            place = found.end();
        }
        Ok(Head::Unfinished)
    }

    /// What comes next. Bodies that are not asked for are passed over unread.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_frame(&mut self) -> Result<Next, SegmentError> {
        let mut bytes = [0; HEADER_LEN];
        let read = self.read_at(self.offset, &mut bytes)?;
        if read == 0 {
            return Ok(Next::End(Ending::Open));
        }
        let opened = if read < HEADER_LEN {
            Err(FrameError::Magic(*bytes.first_chunk().unwrap_or(&[0; 4])))
        } else {
            FrameHeader::open(&bytes, self.header.segment)
        };
        match opened {
            Ok(header) => {
                let found = FoundFrame {
                    header,
                    offset: self.offset,
                };
                if !self.reaches(found.end())? {
                    return self.unsound(FrameError::Body(header.body_len), Some(header));
                }
                self.durable = self.durable.max(header.durable);
                if header.kind == Kind::Seal && self.is_seal(&found)? {
                    return Ok(Next::End(Ending::Sealed));
                }
                self.offset = found.end();
                Ok(Next::Frame(found))
            }
            Err(error) => self.unsound(error, None),
        }
    }

    /// Appends the stored body of `found` to `out`; false, and nothing appended, when it is not what was sealed. The reader
    /// then judges it as it judges a bad header: call [`SegmentReader::reject`].
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read_body(&mut self, found: &FoundFrame, out: &mut Vec<u8>) -> Result<bool, SegmentError> {
        let from = out.len();
        out.resize(from + found.header.body_len as usize, 0);
        let read = self.read_at(found.offset + HEADER_LEN as u64, &mut out[from..])?;
        let sound = read == found.header.body_len as usize && found.header.check_body(&out[from..]).is_ok();
        if !sound {
            out.truncate(from);
        }
        Ok(sound)
    }

    /// Goes back to `found`, whose body is bad, and says what that means: damage, or a torn end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reject(&mut self, found: &FoundFrame) -> Result<Next, SegmentError> {
        self.offset = found.offset;
        self.unsound(FrameError::Body(found.header.body_len), Some(found.header))
    }

    /// Whether its file ends with SEAL, as that of a segment does that was finished in order. What is in front of that is not looked at, and the reader stays where it is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_sealed_at_its_end(&self) -> Result<bool, SegmentError> {
        let mut bytes = [0; HEADER_LEN + Seal::LEN];
        let Some(offset) = self.file.len()?.checked_sub(bytes.len() as u64) else {
            return Ok(false);
        };
        let read = self.file.read_at(&mut bytes, offset)?;
        let (Some(header), true) = (bytes.first_chunk(), read == bytes.len()) else {
            return Ok(false);
        };
        let body = &bytes[HEADER_LEN..];
        let is_seal = FrameHeader::open(header, self.header.segment)
            .is_ok_and(|header| header.kind == Kind::Seal && header.check_body(body).is_ok());
        Ok(is_seal && Seal::decode(body).is_ok_and(|seal| seal.offset == offset))
    }

    fn is_seal(&mut self, found: &FoundFrame) -> Result<bool, SegmentError> {
        let mut body = Vec::new();
        let sound = self.read_body(found, &mut body)?;
        Ok(sound && Seal::decode(&body).is_ok_and(|seal| seal.offset == found.offset))
    }

    /// What unsound bytes at the current offset are.
    fn unsound(&mut self, error: FrameError, touched: Option<FrameHeader>) -> Result<Next, SegmentError> {
        let from = self.offset;
        let mut sound_again = None;
        let mut place = from + 1;
        while let Some(found) = self.search(place)? {
            sound_again.get_or_insert(found.offset);
            self.durable = self.durable.max(found.header.durable);
            if self.durable > from {
                break;
            }
            place = found.end();
        }
        if from >= self.durable {
            let end = self.end_of_file()?;
            let len = touched.map_or(HEADER_LEN as u64, |header| header.frame_len());
            self.is_spoilt = from + len <= end;
            return Ok(Next::End(Ending::Torn));
        }
        let to = match sound_again {
            Some(to) => to,
            None => self.end_of_file()?,
        };
        self.offset = to;
        Ok(Next::Damaged {
            from,
            to,
            error,
            touched,
        })
    }

    /// The first sound header at or behind `place`.
    fn search(&mut self, mut place: u64) -> Result<Option<FoundFrame>, SegmentError> {
        let mut window = vec![0; READ_AHEAD];
        let end = self.end_of_file()?;
        while place < end {
            let read = self.read_at(place, &mut window)?;
            if read < HEADER_LEN {
                return Ok(None);
            }
            for candidate in memchr::memmem::find_iter(&window[..read], &MAGIC) {
                let Some(bytes) = window[candidate..read].first_chunk() else {
                    break;
                };
                let offset = place + candidate as u64;
                if let Ok(header) = FrameHeader::open(bytes, self.header.segment) {
                    return Ok(Some(FoundFrame { header, offset }).filter(|found| found.end() <= end));
                }
            }
            place += (read - HEADER_LEN + 1) as u64;
        }
        Ok(None)
    }

    fn end_of_file(&self) -> Result<u64, SegmentError> {
        Ok(self.file.len()?.min(self.limit))
    }

    /// Whether what may be read goes on up to `end`. One call to the kernel for a segment, and not two for each frame.
    fn reaches(&mut self, end: u64) -> Result<bool, SegmentError> {
        if end.min(self.limit) > self.known_len {
            self.known_len = self.file.len()?;
        }
        Ok(end <= self.known_len.min(self.limit))
    }

    /// Reads at `offset`, short only at the limit or the end of the file.
    fn read_at(&mut self, offset: u64, out: &mut [u8]) -> Result<usize, SegmentError> {
        let wanted = out
            .len()
            .min(usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX));
        let out = &mut out[..wanted];
        let ahead_end = self.ahead_at + self.ahead.len() as u64;
        if offset < self.ahead_at || offset + wanted as u64 > ahead_end {
            if wanted >= READ_AHEAD {
                // The beginning of a body was read with its header.
                let known = self
                    .ahead
                    .get(usize::try_from(offset.wrapping_sub(self.ahead_at)).unwrap_or(usize::MAX)..);
                let known = known.unwrap_or_default();
                out[..known.len()].copy_from_slice(known);
                return Ok(known.len()
                    + self
                        .file
                        .read_at(&mut out[known.len()..], offset + known.len() as u64)?);
            }
            let is_leap = offset < self.ahead_at || offset > ahead_end + self.ahead_step as u64;
            self.ahead_step = if is_leap {
                READ_LEAPT
            } else {
                READ_AHEAD.min(self.ahead_step * 2)
            };
            let step = self.ahead_step.max(wanted);
            let most = if self.reaches(offset + step as u64)? {
                step
            } else {
                let left = self.known_len.min(self.limit).saturating_sub(offset);
                usize::try_from(left).unwrap_or(usize::MAX).min(step)
            };
            self.ahead.clear(); // what could not be read is not what was read before
            self.ahead.resize(most, 0);
            let read = self.file.read_at(&mut self.ahead, offset)?;
            self.ahead.truncate(read);
            self.ahead_at = offset;
        }
        #[allow(clippy::cast_possible_truncation)] // the difference is below READ_AHEAD
        let from = (offset - self.ahead_at) as usize;
        let taken = wanted.min(self.ahead.len() - from);
        out[..taken].copy_from_slice(&self.ahead[from..from + taken]);
        Ok(taken)
    }
}
