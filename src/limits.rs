//! Every bound of the spool, the archive and the wire, in one place, with the relations between them
//! checked at compile time. The bounds of rings are in [`hog_ring::limits`].

/// Longest body of a frame, as stored and once decompressed, in bytes.
pub const FRAME_BODY_MAX: usize = 1 << 20;

/// Most bytes that one append of the drainer writes to the spool, frame headers included.
pub const APPEND_MAX: usize = 1 << 20;

/// Size at which a segment is finished and the next one begun, in bytes, its checkpoint not counted.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// The same; a simulation has short ones, so that it meets many.
#[must_use]
pub fn segment_bytes() -> u64 {
    if hog_ring::simulation::is_on() {
        16 << 10
    } else {
        SEGMENT_BYTES
    }
}

/// Into so many segments at least a bounded spool is cut, so that a delivered one can go while others are filled.
pub const SPOOL_SEGMENTS: u64 = 8;

/// The least that `--spool-max` may be: each of its segments then holds one whole append.
pub const SPOOL_MIN: u64 = 8 << 20;

/// Disk that a spool keeps aside for the moment when there is no more, in bytes; the last checkpoint comes on top.
pub const RESERVE_BYTES: u64 = 4 << 20;

/// Disk that a store keeps aside for starts on a full disk, in bytes: what a session writes to hogstat.db, many times over.
pub const STORE_RESERVE_BYTES: u64 = 1 << 20;

/// Longest checkpoint, all its frames together, that is written or read.
pub const CHECKPOINT_MAX: usize = 1 << 30;

/// Length of the last checkpoint from which on an archive takes no streams that it does not know.
pub const CHECKPOINT_LARGE: u64 = 128 << 20;

/// Longest encoded set of statement definitions of one stream. What a producer defines beyond that is in its stream, but in no checkpoint.
pub const DEFINITIONS_MAX: usize = FRAME_BODY_MAX - (64 << 10);

/// No stream gets this far, and sums of positions below it and lengths do not overflow.
pub const POSITION_MAX: u64 = 1 << 62;

/// Longest name of a group.
pub const GROUP_MAX: usize = 64;

/// Longest producer's name.
pub const PRODUCER_MAX: usize = 64;

/// Bytes of raw data that may be on their way to a destination without acknowledgement: what a receiver takes in while it syncs once. Nobody keeps
/// them in memory; the sender has them in its spool, the receiver in its archive.
pub const WINDOW_BYTES: u64 = 64 << 20;

/// The most that `--batch-size` may be: a sender has some batches in memory.
pub const BATCH_BYTES_MAX: u64 = 8 << 20;

/// Longest HELLO that is read, in bytes.
pub const HELLO_MAX: usize = 1024;

/// Connections of which a receiver does not know yet who they are. When one more comes, the oldest of them gives way.
pub const HANDSHAKES_MAX: usize = 64;

/// Connections that a receiver serves at once. One that is idle costs two threads, some tens of KiB and five open files; one that does something shares the rooms
/// below with the others.
pub const CONNECTIONS_MAX: usize = 1024;

/// Rooms for frames with long bodies that a receiver keeps, each of one frame: so much is read and stored side by side. More are made only when these are not
/// given back.
pub const ROOMS_MAX: usize = 32;

/// Decompressors that a receiver keeps, each with room for a raw body: more than there are processors to run them on would not be faster.
pub const DECOMPRESSORS_MAX: usize = 16;

/// Up to this length a body takes no such room, in bytes.
pub const SHORT_BODY_MAX: usize = 32 << 10;

/// Groups that a receiver stores.
pub const GROUPS_MAX: usize = 1024;

/// Streams that one WELCOME may name, all its frames together.
pub const WELCOME_STREAMS_MAX: usize = 1 << 20;

/// Longest segment that an original sender may send, compressed, in bytes. Its segments are 10 MiB, or what it was told, before they are compressed.
pub const CLASSIC_SEGMENT_MAX: u64 = 256 << 20;

/// Longest such segment once inflated, in bytes.
pub const CLASSIC_INFLATED_MAX: u64 = 1 << 30;

/// Longest transaction in such a segment, in bytes. What it becomes must not be longer than a run of fragments.
pub const CLASSIC_TRANSACTION_MAX: usize = hog_ring::limits::RUN_MAX;

/// Segments of original senders are kept in memory up to this length while they come, in bytes; longer ones in a file without a name.
pub const CLASSIC_MEMORY_MAX: usize = 1 << 20;

/// So long an original receiver may take to answer for what it was sent: it answers once it has stored a segment, and before its first answer looks up a
/// name.
pub const CLASSIC_ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(120);

/// Connections to original receivers that one shipper keeps open while it sends nothing on them.
pub const CLASSIC_LINKS_MAX: usize = 64;

/// Segments of original senders that a receiver inflates at once.
pub const CLASSIC_AT_ONCE: usize = 4;

/// Silence after which either side of a connection gives up.
pub const SILENCE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Silence after which a sender sends PING.
pub const PING_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// Longest time that all of WELCOME may take, however many streams it names.
pub const WELCOME_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Longest time to wait for a connection to be made, and for HELLO and WELCOME.
pub const HANDSHAKE_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Names that one engine follows at once.
pub const FOLLOWED_MAX: usize = 4000;

/// Connections of producers of version 2 that one group has at once.
pub const PRODUCERS_MAX: usize = 4096;

/// Of these, connections that have not registered a queue. When one more comes, the oldest of them gives way.
pub const STRANGERS_MAX: usize = 64;

/// Queues of version 2 that one group takes in at once. Each has a ring.
pub const QUEUES_MAX: usize = 2048;

/// Different statements that the producers of version 2 of one group may declare while a process runs.
pub const INTAKE_STATEMENTS_MAX: usize = 1 << 16;

/// Engine lines longer than this become several records.
pub const LINE_MAX: usize = 16 << 20;

const _: () = {
    assert!(
        APPEND_MAX >= 4 * hog_ring::limits::UNFRAGMENTED_MAX,
        "a frame holds the longest unbroken transaction"
    );
    assert!(FRAME_BODY_MAX >= 4 * hog_ring::limits::UNFRAGMENTED_MAX);
    assert!(
        DEFINITIONS_MAX + 4096 <= FRAME_BODY_MAX,
        "an ATTACH holds all definitions"
    );
    assert!(
        hog_ring::limits::DEFINITIONS_MAX <= DEFINITIONS_MAX,
        "what a writer may define is remembered"
    );
    assert!(
        FOLLOWED_MAX < hog_ring::limits::WRITERS_MAX,
        "each followed name has a ring"
    );
    assert!(
        2 * QUEUES_MAX <= hog_ring::limits::WRITERS_MAX && 2 * QUEUES_MAX < hog_ring::limits::GUARDS_MAX,
        "each queue has a ring, and both are mapped; other groups have some too"
    );
    assert!(STRANGERS_MAX < PRODUCERS_MAX);
    assert!(HELLO_MAX >= 4 * GROUP_MAX, "HELLO has a group, and some numbers");
    assert!(BATCH_BYTES_MAX >= FRAME_BODY_MAX as u64);
    assert!(
        WINDOW_BYTES >= 4 * BATCH_BYTES_MAX,
        "batches follow each other while one is synced"
    );
    assert!(
        (2 * ROOMS_MAX + DECOMPRESSORS_MAX) * FRAME_BODY_MAX + CONNECTIONS_MAX * SHORT_BODY_MAX <= 128 << 20,
        "what a receiver takes frames in with, however many senders it has, leaves half of 256 MiB for threads and tables"
    );
    assert!(SEGMENT_BYTES >= 2 * APPEND_MAX as u64);
    assert!(
        SPOOL_MIN / SPOOL_SEGMENTS >= APPEND_MAX as u64,
        "a segment of the smallest spool holds one append"
    );
    assert!(
        RESERVE_BYTES >= 2 * APPEND_MAX as u64,
        "the reserve holds a torn append, and what says that the disk is full"
    );
    assert!(
        SPOOL_MIN >= RESERVE_BYTES + 2 * APPEND_MAX as u64,
        "beside its reserve the smallest spool takes something"
    );
};
