//! What reads bytes that nobody vouches for, as functions of bytes: one for each fuzz target.
//!
//! `judge` of each module is called by libFuzzer (`just fuzz TARGET`), which looks for bytes that take it where it has not been, and by the ordinary test
//! `tests/fuzz.rs`, with the bytes in `corpus/` and random changes of them. It must neither panic nor go on for long, and what it takes for sound must
//! be so: encoded again it gives the same.
//!
//! Most formats have a CRC, which random changes do not survive. So each target also puts the CRC of what it was given right, and judges that: a peer
//! with bad intentions computes CRCs too.

pub(crate) mod classic;
pub(crate) mod frame;
pub(crate) mod recording;
pub(crate) mod resume_state;
pub(crate) mod ring_region;
pub(crate) mod segment;
pub(crate) mod statement;
pub(crate) mod wire;

/// What judges bytes.
pub(crate) type Judge = fn(&[u8]);

/// A target's name, as that of its corpus, and what judges.
pub(crate) const ALL: [(&str, Judge); 8] = [
    ("classic", classic::judge),
    ("frame", frame::judge),
    ("segment", segment::judge),
    ("wire", wire::judge),
    ("ring_region", ring_region::judge),
    ("statement", statement::judge),
    ("recording", recording::judge),
    ("resume_state", resume_state::judge),
];

/// Splits `bytes` at `at`, or at their end if they are shorter.
fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// The first `N` bytes, with zeros for those that are missing, and the others.
fn take<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (first, rest) = split(bytes, N);
    let mut taken = [0; N];
    taken[..first.len()].copy_from_slice(first);
    (taken, rest)
}
