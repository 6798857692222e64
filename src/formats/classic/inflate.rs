//! What an original sender compressed: a file of gzip members, a zlib stream, or nothing at all.
//!
//! The original's receiver read the first gzip member and left out the rest, and it took damage for the end. Here a file is what all of its
//! members hold, each with a sound checksum, or an error. Whatever it says of itself, no more than a bound comes out of it.

use crate::limits::CLASSIC_INFLATED_MAX;
use flate2::bufread::{GzDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::{self, BufRead, ErrorKind, Read};

/// The first byte of a gzip member.
const GZIP: u8 = 0x1f;

/// The comment in the gzip header of what a sender says first that speaks our protocol as well. The original passes over comments.
pub const SPEAKS_OURS: &[u8] = b"HOGF 1";

/// Whether the first member of `file` has that comment.
#[must_use]
pub fn speaks_ours(file: &[u8]) -> bool {
    let member = GzDecoder::new(file);
    let comment = member.header().and_then(flate2::GzHeader::comment);
    comment == Some(SPEAKS_OURS)
}

/// Reads what was compressed.
pub struct Inflate<R> {
    inner: Inner<R>,
    /// Bytes that may still come out.
    left: u64,
}

enum Inner<R> {
    Gzip(MultiGzDecoder<R>),
    Zlib(ZlibDecoder<R>),
    Empty,
}

impl<R: BufRead> Inflate<R> {
    /// Of a whole compressed file. The first byte says what it is.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(file: R) -> io::Result<Self> {
        Self::at_most(CLASSIC_INFLATED_MAX, file)
    }

    /// The same, with another bound on what may come out.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn at_most(most: u64, mut file: R) -> io::Result<Self> {
        let first = file.fill_buf()?.first().copied();
        let inner = match first {
            None => Inner::Empty,
            Some(GZIP) => Inner::Gzip(MultiGzDecoder::new(file)),
            Some(_) => Inner::Zlib(ZlibDecoder::new(file)),
        };
        Ok(Self { inner, left: most })
    }
}

impl<R: BufRead> Read for Inflate<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.inner {
            Inner::Gzip(members) => members.read(out)?,
            Inner::Zlib(stream) => {
                let read = stream.read(out)?;
                if read == 0 && !out.is_empty() && !stream.get_mut().fill_buf()?.is_empty() {
                    let words = "bytes follow the end of a zlib stream";
                    return Err(io::Error::new(ErrorKind::InvalidData, words));
                }
                read
            }
            Inner::Empty => 0,
        };
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            let words = "it inflates to more bytes than may come of it";
            io::Error::new(ErrorKind::InvalidData, words)
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Inflate::at_most(100_000, file)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn members_are_read_one_after_the_other_and_wrappings_are_told_apart() {
        let text = b"one two three four".repeat(100);
        let members = [gzip(&text), gzip(b""), gzip(b"end")].concat();
        assert_eq!(inflate(&members).unwrap(), [&text[..], b"end"].concat());
        assert_eq!(inflate(&zlib(&text)).unwrap(), text);
        assert_eq!(inflate(&[]).unwrap(), b"");
        assert_eq!(inflate(&gzip(b"")).unwrap(), b"");
    }

    #[test]
    fn a_file_that_is_cut_goes_on_or_is_something_else_is_an_error() {
        let text: Vec<u8> = (0..200).collect();
        for file in [[gzip(&text), gzip(&text)].concat(), zlib(&text)] {
            let whole = gzip(&text).len();
            for end in (1..file.len()).filter(|end| *end != whole || file[0] != GZIP) {
                assert!(inflate(&file[..end]).is_err(), "{end}");
            }
            for more in [&b"\0"[..], b"x", b"\x1f", b"\x1f\x8b\x08"] {
                assert!(inflate(&[&file[..], more].concat()).is_err(), "{more:?}");
            }
        }
        assert!(inflate(b"no compressed file at all").is_err());
    }

    #[test]
    fn a_comment_says_who_speaks_our_protocol_and_changes_nothing_else() {
        let with = |comment: &[u8]| {
            let builder = flate2::GzBuilder::new().comment(comment);
            let mut encoder = builder.write(Vec::new(), Compression::new(6));
            encoder.write_all(b"init").unwrap();
            encoder.finish().unwrap()
        };
        assert!(speaks_ours(&with(SPEAKS_OURS)));
        assert_eq!(inflate(&with(SPEAKS_OURS)).unwrap(), b"init");
        for other in [&b"HOGF"[..], b"HOGF 2", b"", b"a comment"] {
            assert!(!speaks_ours(&with(other)), "{other:?}");
        }
        for file in [
            gzip(b"init"),
            zlib(b"init"),
            Vec::new(),
            with(SPEAKS_OURS)[..12].to_vec(),
        ] {
            assert!(!speaks_ours(&file), "{file:02x?}");
        }
    }

    #[test]
    fn no_more_comes_out_than_the_bound() {
        assert_eq!(inflate(&gzip(&vec![0; 100_000])).unwrap().len(), 100_000);
        assert!(inflate(&gzip(&vec![0; 100_001])).is_err());
        assert!(inflate(&gzip(&vec![0; 4 << 20])).is_err());
        let many = gzip(&[0; 1000]).repeat(101);
        assert!(inflate(&many).is_err(), "the members count together");
    }
}
