//! Where each field of a ring file, of a record and of the doorbell lies.
//!
//! `docs/FORMATS.md` is the home of these numbers; a test holds its tables against [`FIELDS`]. Nothing here touches
//! memory: `header.rs`, `state.rs` and `record.rs` give the bytes their meaning.

/// Length of the header area in front of the data, in bytes. 64 KiB, the largest page of any Linux.
pub const HEADER_AREA: usize = 65536;

/// The first bytes of a ring file.
pub const MAGIC: [u8; 8] = *b"HOGRING3";
/// The version of the layout that this crate reads and writes.
pub const VERSION: u32 = 3;

/// Length of the identity, its CRC included.
pub const IDENTITY_LEN: usize = 140;
/// Magic `HOGRING3`.
pub const IDENTITY_MAGIC: usize = 0;
/// Version, u32.
pub const IDENTITY_VERSION: usize = 8;
/// Flags, u32.
pub const IDENTITY_FLAGS: usize = 12;
/// Ring uuid.
pub const IDENTITY_UUID: usize = 16;
/// Boot id.
pub const IDENTITY_BOOT: usize = 32;
/// Creation time, CLOCK_BOOTTIME ns, u64.
pub const IDENTITY_CREATED: usize = 48;
/// Capacity in bytes, u64.
pub const IDENTITY_CAPACITY: usize = 56;
/// Length of the producer's name, u8.
pub const IDENTITY_NAME_LEN: usize = 64;
/// The producer's name, zero-filled to 64 bytes.
pub const IDENTITY_NAME: usize = 65;
/// CRC of all bytes before it, u32.
pub const IDENTITY_CRC: usize = 136;

/// Flag: the ring has a name under which a later run may take it over.
pub const FLAG_NAMED: u32 = 1 << 0;
/// Flag: the producer drops and counts instead of waiting.
pub const FLAG_UNRELIABLE: u32 = 1 << 1;

/// Owner word, u64.
pub const OWNER: usize = 256;
/// The owner's pid namespace, u64.
pub const OWNER_NAMESPACE: usize = 264;
/// Time of the last adoption, CLOCK_BOOTTIME ns, u64.
pub const ADOPTED: usize = 272;
/// Highest statement id in use, u32.
pub const STATEMENT_HIGHEST: usize = 280;
/// Why the reader gave the ring up, u32; 0 if it did not.
pub const CONDEMNED: usize = 284;
/// End of what is published, u64.
pub const TAIL: usize = 384;
/// Cumulative count of dropped records, u64.
pub const DROPPED_RECORDS: usize = 392;
/// Cumulative count of dropped bytes, u64.
pub const DROPPED_BYTES: usize = 400;
/// End of what is drained, u64.
pub const HEAD: usize = 512;
/// End of what is drained and on disk, u64.
pub const SYNCED: usize = 520;
/// Futex word on which a producer waits for room, u32.
pub const SPACE: usize = 640;
/// Whether a producer waits for room, u32.
pub const WAITING: usize = 644;

/// The two copies of the resume state.
pub const STATE_COPIES: [usize; 2] = [4096, 8192];
/// Room for either copy, in bytes.
pub const STATE_AREA: usize = 4096;
/// Length of what stands before the state in a copy.
pub const STATE_HEADER: usize = 16;
/// Within a copy: CRC of everything after it, u32.
pub const STATE_CRC: usize = 0;
/// Within a copy: length of the state, u32.
pub const STATE_LEN: usize = 4;
/// Within a copy: the tail for which it holds, u64.
pub const STATE_TAIL: usize = 8;

/// Length of a record's header without a time.
pub const PLAIN_HEADER: usize = 8;
/// Length of a record's header with a time.
pub const TIMED_HEADER: usize = 16;
/// Bits of a record's length.
pub const LENGTH_BITS: u32 = 26;
/// Position of a record's kind, three bits.
pub const KIND_SHIFT: u32 = 26;
/// Bit: another record of the same transaction follows.
pub const MORE: u32 = 1 << 29;
/// Bit: the header has a time.
pub const TIME: u32 = 1 << 30;
/// Bit: the last fragment of a run.
pub const LAST: u32 = 1 << 31;

/// Length of the doorbell file.
pub const DOORBELL_LEN: usize = 4096;
/// In the doorbell: whether the drainer sleeps, u32.
pub const DOORBELL_SLEEPING: usize = 0;
/// In the doorbell: the futex word, u32.
pub const DOORBELL_FUTEX: usize = 4;
/// In the doorbell: how often a ring was created, adopted or closed, u64.
pub const DOORBELL_CHANGES: usize = 8;

/// A field of a ring file's header: where it lies, how long it is, and the words with which the format document
/// begins its description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Offset in the file, in bytes.
    pub offset: usize,
    /// Length in bytes.
    pub size: usize,
    /// The first words of its description.
    pub words: &'static str,
}

const fn field(offset: usize, size: usize, words: &'static str) -> Field {
    Field { offset, size, words }
}

/// The tables of a ring file's identity and life, row by row as the format document has them.
pub const FIELDS: &[Field] = &[
    field(IDENTITY_MAGIC, 8, "magic `HOGRING3`"),
    field(IDENTITY_VERSION, 4, "version u32 = 3"),
    field(IDENTITY_FLAGS, 4, "flags u32"),
    field(IDENTITY_UUID, 16, "ring uuid"),
    field(IDENTITY_BOOT, 16, "boot id"),
    field(IDENTITY_CREATED, 8, "created"),
    field(IDENTITY_CAPACITY, 8, "capacity"),
    field(IDENTITY_NAME_LEN, 1, "length of the producer's name"),
    field(IDENTITY_NAME, 64, "producer's name"),
    field(IDENTITY_NAME + 64, 7, "zero"),
    field(IDENTITY_CRC, 4, "CRC of bytes 0 to 135"),
    field(OWNER, 8, "owner u64"),
    field(OWNER_NAMESPACE, 8, "pid namespace"),
    field(ADOPTED, 8, "adopted"),
    field(STATEMENT_HIGHEST, 4, "highest statement id"),
    field(CONDEMNED, 4, "condemned u32"),
];

const _: () = {
    assert!(IDENTITY_CRC + 4 == IDENTITY_LEN && IDENTITY_LEN <= OWNER);
    // Each party writes lines of its own: 128 bytes apart, since processors fetch lines in pairs.
    assert!(OWNER.is_multiple_of(128) && TAIL.is_multiple_of(128));
    assert!(HEAD.is_multiple_of(128) && SPACE.is_multiple_of(128));
    assert!(STATE_COPIES[1] - STATE_COPIES[0] == STATE_AREA && STATE_COPIES[1] + STATE_AREA <= HEADER_AREA);
    assert!(LENGTH_BITS == KIND_SHIFT && KIND_SHIFT + 3 == MORE.trailing_zeros());
};
