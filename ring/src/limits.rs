//! Every bound of this crate, in one place.
//!
//! A length that comes out of a ring, a file or a caller is held against one of these before it is used. The
//! relations between them are asserted when the crate is compiled, so that no two can drift apart.

use crate::layout;

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("rings are defined for 64-bit little-endian Linux: positions index memory directly");

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The smallest ring, in bytes of data: one page on every page size that Linux has.
pub const CAPACITY_MIN: u64 = 64 * KIB;
/// The largest ring, in bytes of data.
pub const CAPACITY_MAX: u64 = 1024 * MIB;
/// The size of a ring for which nobody asked for another, in bytes of data.
pub const CAPACITY_DEFAULT: u64 = MIB;

/// No position in a ring gets this far: whoever claims one is not believed. Sums of positions below it and lengths do not overflow.
pub const POSITION_END: u64 = 1 << 61;

/// The most that the definitions of one ring may take together, in bytes, each counted with 4 bytes more. An adoption begins anew.
pub const DEFINITIONS_MAX: usize = 960 << 10;

/// The longest payload of one record, in bytes.
pub const RECORD_MAX: usize = 16 << 20;
/// The longest run (a record or transaction that goes as fragments), in bytes, headers and padding included.
pub const RUN_MAX: usize = RECORD_MAX + (64 << 10);
/// What may stand unfragmented in any ring, however large, in bytes; see [`unfragmented_max`].
pub const UNFRAGMENTED_MAX: usize = 256 << 10;
/// The longest fragment, in bytes, header included. Far below what would be allowed, so that a small ring flows while
/// a long run passes through it.
pub const FRAGMENT_MAX: usize = 64 << 10;
/// The longest statement definition, in bytes.
pub const DEFINITION_MAX: usize = crate::statement::DEFINITION_BYTES_MAX;

/// The longest resume state, in bytes.
pub const STATE_MAX: usize = 1024;
/// The longest name of a ring's producer or of a group, in bytes.
pub const NAME_MAX: usize = 64;

/// How many rings one process may write at a time. The table that a fork's child closes is this long.
pub const WRITERS_MAX: usize = 4096;
/// How many mappings one process may protect against files that shrink under it.
pub const GUARDS_MAX: usize = 8192;

/// Producers look for a sleeping drainer whenever their position crosses a multiple of this, in bytes (log2).
pub(crate) const DOORBELL_STRIDE_SHIFT: u32 = 16;
/// A producer that waits for room looks after its stop flag this often, in milliseconds.
pub(crate) const WAIT_MS: u64 = 100;
/// The largest ring whose pages a producer maps in at once, in bytes; above it they fault in as they are reached.
pub(crate) const POPULATE_MAX: u64 = 16 * MIB;

/// The longest record, and the longest run of records with MORE, that stands in a ring of `capacity` bytes unfragmented:
/// a quarter of it or [`UNFRAGMENTED_MAX`], the smaller. In bytes, headers and padding included.
#[must_use]
pub const fn unfragmented_max(capacity: u64) -> usize {
    let quarter = index(capacity / 4);
    if quarter < UNFRAGMENTED_MAX {
        quarter
    } else {
        UNFRAGMENTED_MAX
    }
}

/// The longest fragment in a ring of `capacity` bytes, header included.
#[must_use]
pub const fn fragment_max(capacity: u64) -> usize {
    let bound = unfragmented_max(capacity);
    if bound < FRAGMENT_MAX { bound } else { FRAGMENT_MAX }
}

/// Whether a ring may have this many bytes of data.
#[must_use]
pub const fn is_capacity(bytes: u64) -> bool {
    bytes.is_power_of_two() && bytes >= CAPACITY_MIN && bytes <= CAPACITY_MAX
}

/// A number of bytes as an index into memory; lossless, since only 64-bit targets compile.
#[allow(clippy::cast_possible_truncation)]
#[inline]
pub(crate) const fn index(bytes: u64) -> usize {
    bytes as usize
}

const _: () = {
    assert!(is_capacity(CAPACITY_MIN) && is_capacity(CAPACITY_MAX) && is_capacity(CAPACITY_DEFAULT));
    // The data is mapped twice in a row behind the header area, which needs both to be whole pages of up to 64 KiB.
    assert!(layout::HEADER_AREA == index(CAPACITY_MIN) && layout::HEADER_AREA == 64 << 10);
    assert!(POSITION_END.is_multiple_of(8) && POSITION_END < u64::MAX / 4);
    // A run's length, and a record's, must fit in the length bits of a record header.
    assert!(RUN_MAX < 1 << layout::LENGTH_BITS);
    assert!(RECORD_MAX + layout::TIMED_HEADER + 8 <= RUN_MAX);
    // Fragments are cut at multiples of 8 and must make progress in the smallest ring.
    assert!(FRAGMENT_MAX.is_multiple_of(8) && unfragmented_max(CAPACITY_MIN).is_multiple_of(8));
    assert!(fragment_max(CAPACITY_MIN) > layout::PLAIN_HEADER);
    // A full private transaction plus a definition slipped in before it fits in the smallest ring.
    assert!(2 * unfragmented_max(CAPACITY_MIN) < index(CAPACITY_MIN));
    // Either copy of the resume state stays inside its 4 KiB.
    assert!(layout::STATE_HEADER + STATE_MAX <= layout::STATE_AREA);
};
