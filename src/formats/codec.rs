//! Compression of frame bodies, with contexts that are made once and used for every frame.

use crate::formats::frame::{Codec, FrameHeader};
use crate::limits::FRAME_BODY_MAX;
use std::fmt;
use std::io;
use std::str::FromStr;
use thiserror::Error;

/// What `--compress` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Bodies go as they are.
    None,
    /// lz4 blocks.
    Lz4,
    /// zstd at a level, 1 to 19.
    Zstd(i32),
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let level = |level: &str| {
            level
                .parse()
                .ok()
                .filter(|level| (1..=19).contains(level))
                .map(Self::Zstd)
        };
        match text {
            "none" => Some(Self::None),
            "lz4" => Some(Self::Lz4),
            "zstd" => Some(Self::Zstd(1)),
            other => other.strip_prefix("zstd:").and_then(level),
        }
        .ok_or_else(|| format!("expected zstd:LEVEL with a level of 1 to 19, lz4 or none, found {text:?}"))
    }
}

/// What `--compress` says: one way for all, or whichever ships the fastest at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// Each body alike.
    Always(Compression),
    /// zstd:1, lz4 or none, as the network and the processor have it.
    Auto,
}

impl FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse()
            .map(Self::Always)
            .map_err(|_| format!("expected auto, zstd:LEVEL with a level of 1 to 19, lz4 or none, found {text:?}"))
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always(compression) => compression.fmt(f),
            Self::Auto => f.write_str("auto"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// A body that does not decompress to what its header says.
#[derive(Debug, Error)]
pub enum CodecError {
    /// zstd refused it.
    #[error("the body is no zstd frame of {expected} bytes: {source}")]
    Zstd {
        /// The header's raw length.
        expected: u32,
        /// zstd's words.
        source: io::Error,
    },
    /// lz4 refused it.
    #[error("the body is no lz4 block of {expected} bytes: {source}")]
    Lz4 {
        /// The header's raw length.
        expected: u32,
        /// lz4's words.
        source: lz4_flex::block::DecompressError,
    },
    /// It decompressed to another length.
    #[error("the body decompresses to {found} bytes, its header says {expected}")]
    Length {
        /// The header's raw length.
        expected: u32,
        /// What came out.
        found: usize,
    },
}

/// Compresses bodies.
pub struct Compressor {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    lz4: bool,
    /// Where bodies are compressed to. It only grows: to clear it each time would cost what sending them does.
    room: Vec<u8>,
}

impl Compressor {
    /// For `compression`.
    ///
    /// # Errors
    /// When zstd has no memory for its context.
    pub fn new(compression: Compression) -> io::Result<Self> {
        let zstd = match compression {
            Compression::Zstd(level) => Some(zstd::bulk::Compressor::new(level)?),
            Compression::None | Compression::Lz4 => None,
        };
        Ok(Self {
            zstd,
            lz4: compression == Compression::Lz4,
            room: Vec::new(),
        })
    }

    /// `raw` compressed, and with what; `None` where that does not make it smaller, or is not asked for.
    pub fn squeeze(&mut self, raw: &[u8]) -> Option<(Codec, &[u8])> {
        // lz4 wants room for the worst case; zstd finds out that there is too little.
        let room = match &self.zstd {
            Some(_) => raw.len(),
            None if self.lz4 => lz4_flex::block::get_maximum_output_size(raw.len()),
            None => return None,
        };
        if self.room.len() < room {
            self.room.resize(room, 0);
        }
        let out = &mut self.room[..room];
        let (codec, written) = match &mut self.zstd {
            Some(zstd) => (Codec::Zstd, zstd.compress_to_buffer(raw, out).ok()),
            None => (Codec::Lz4, lz4_flex::block::compress_into(raw, out).ok()),
        };
        let written = written.filter(|written| *written < raw.len())?;
        Some((codec, &self.room[..written]))
    }

    /// Puts `raw`, compressed if that makes it smaller, at the end of `out`; says which codec it has there.
    pub fn compress(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Codec {
        let (codec, body) = self.squeeze(raw).unwrap_or((Codec::None, raw));
        out.extend_from_slice(body);
        codec
    }
}

/// Decompresses bodies.
pub struct Decompressor {
    zstd: zstd::bulk::Decompressor<'static>,
    raw: Vec<u8>,
}

impl Decompressor {
    /// A new one.
    ///
    /// # Errors
    /// When zstd has no memory for its context.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Decompressor::new()?,
            raw: Vec::new(),
        })
    }

    /// The raw body of the frame `header` with the checked stored body `body`.
    ///
    /// # Errors
    /// When it does not decompress to exactly the raw length that the header names, which bounds the memory used.
    pub fn raw<'a>(&'a mut self, header: &FrameHeader, body: &'a [u8]) -> Result<&'a [u8], CodecError> {
        let expected = header.raw_len;
        debug_assert!(expected as usize <= FRAME_BODY_MAX);
        self.raw.resize(expected as usize, 0);
        let found = match header.codec {
            Codec::None => return Ok(body),
            Codec::Zstd => self
                .zstd
                .decompress_to_buffer(body, &mut self.raw[..])
                .map_err(|source| CodecError::Zstd { expected, source })?,
            Codec::Lz4 => lz4_flex::block::decompress_into(body, &mut self.raw)
                .map_err(|source| CodecError::Lz4 { expected, source })?,
        };
        if found == expected as usize {
            Ok(&self.raw)
        } else {
            Err(CodecError::Length { expected, found })
        }
    }

    /// The same, to keep: in `memory`, or in `body` if that is raw already.
    ///
    /// # Errors
    /// As of [`Decompressor::raw`].
    pub fn owned(&mut self, header: &FrameHeader, body: Vec<u8>, memory: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        if header.codec == Codec::None {
            return Ok(body);
        }
        self.raw = memory;
        self.raw(header, &body)?;
        Ok(std::mem::take(&mut self.raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::frame::Kind;

    fn there_and_back(compression: Compression, raw: &[u8]) -> Codec {
        let mut body = vec![7];
        let codec = Compressor::new(compression).unwrap().compress(raw, &mut body);
        let mut header = FrameHeader::plain(Kind::Data, &body[1..]);
        (header.codec, header.raw_len) = (codec, crate::formats::frame::body_len(raw));
        assert_eq!(Decompressor::new().unwrap().raw(&header, &body[1..]).unwrap(), raw);
        codec
    }

    #[test]
    fn bodies_come_back_with_every_codec() {
        let text = b"the same words again and again ".repeat(1000);
        assert_eq!(there_and_back(Compression::Zstd(1), &text), Codec::Zstd);
        assert_eq!(there_and_back(Compression::Lz4, &text), Codec::Lz4);
        assert_eq!(there_and_back(Compression::None, &text), Codec::None);
    }

    #[test]
    fn a_body_that_compression_would_not_shrink_goes_as_it_is() {
        assert_eq!(there_and_back(Compression::Zstd(1), b"abc"), Codec::None);
        assert_eq!(there_and_back(Compression::Lz4, b"abc"), Codec::None);
        assert_eq!(there_and_back(Compression::Lz4, b""), Codec::None);
    }

    #[test]
    fn a_body_of_another_raw_length_is_refused() {
        let mut body = Vec::new();
        let codec = Compressor::new(Compression::Zstd(1))
            .unwrap()
            .compress(&[0; 4096], &mut body);
        let mut header = FrameHeader::plain(Kind::Data, &body);
        header.codec = codec;
        for raw_len in [4088, 4104] {
            header.raw_len = raw_len;
            assert!(Decompressor::new().unwrap().raw(&header, &body).is_err());
        }
    }
}
