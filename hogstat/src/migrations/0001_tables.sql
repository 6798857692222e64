-- What hog remembers between its sessions.
--
-- Uuids are text in lower case with hyphens, so that a person with the sqlite3 shell can read and paste them.
-- Times are nanoseconds since 1970 (UTC), except regions.created, which is CLOCK_BOOTTIME of the boot beside it.
-- Positions are byte positions in a stream.

-- One run of a role. `ended` stays NULL unless the run closed cleanly.
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY,
    role          TEXT    NOT NULL CHECK (role IN ('engine', 'batchsend', 'batchrecv', 'local')),
    kind          TEXT    NOT NULL CHECK (kind IN ('normal', 'recovery')),
    argv          TEXT    NOT NULL CHECK (json_valid(argv)),
    boot          TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    process_start INTEGER NOT NULL,
    started       INTEGER NOT NULL,
    ended         INTEGER
) STRICT;
CREATE INDEX sessions_not_closed ON sessions (id) WHERE ended IS NULL;

-- A spool as one session opened it: every opening raises the epoch, so (sender, epoch) names it for ever.
CREATE TABLE spools (
    id         INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (id),
    group_name TEXT    NOT NULL,
    directory  TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    registered INTEGER NOT NULL,
    UNIQUE (sender, epoch)
) STRICT;
CREATE INDEX spools_by_group ON spools (group_name, id);
CREATE INDEX spools_by_session ON spools (session);

-- Where a spool's frames of that epoch are to go; ids are in the order of the command line.
CREATE TABLE destinations (
    id      INTEGER PRIMARY KEY,
    spool   INTEGER NOT NULL REFERENCES spools (id),
    address TEXT    NOT NULL,
    UNIQUE (spool, address)
) STRICT;

-- A ring that a session drained.
CREATE TABLE regions (
    id            INTEGER PRIMARY KEY,
    ring          TEXT    NOT NULL UNIQUE,
    group_name    TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    path          TEXT    NOT NULL,
    boot          TEXT    NOT NULL,
    created       INTEGER NOT NULL,
    capacity      INTEGER NOT NULL,
    first_session INTEGER NOT NULL REFERENCES sessions (id),
    first_seen    INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'kept', 'ended', 'lost')),
    position      INTEGER NOT NULL,
    closed        INTEGER,
    CHECK ((state = 'open') = (closed IS NULL))
) STRICT;
CREATE INDEX regions_unfinished ON regions (group_name) WHERE state IN ('open', 'kept');
CREATE INDEX regions_by_boot ON regions (boot, id);
CREATE INDEX regions_by_first_session ON regions (first_session);

CREATE TABLE reader_registrations (
    session INTEGER NOT NULL REFERENCES sessions (id),
    region  INTEGER NOT NULL REFERENCES regions (id),
    time    INTEGER NOT NULL,
    PRIMARY KEY (session, region)
) STRICT, WITHOUT ROWID;

CREATE TABLE reader_states (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    region  INTEGER NOT NULL REFERENCES regions (id),
    status  TEXT    NOT NULL CHECK (status IN ('started', 'closed', 'lost')),
    time    INTEGER NOT NULL
) STRICT;
CREATE INDEX reader_states_by_region ON reader_states (region, id);

CREATE TABLE sender_registrations (
    session     INTEGER NOT NULL REFERENCES sessions (id),
    destination INTEGER NOT NULL REFERENCES destinations (id),
    time        INTEGER NOT NULL,
    PRIMARY KEY (session, destination)
) STRICT, WITHOUT ROWID;

CREATE TABLE sender_states (
    id          INTEGER PRIMARY KEY,
    session     INTEGER NOT NULL REFERENCES sessions (id),
    destination INTEGER NOT NULL REFERENCES destinations (id),
    status      TEXT    NOT NULL CHECK (status IN ('started', 'suspended', 'closed')),
    time        INTEGER NOT NULL
) STRICT;
CREATE INDEX sender_states_by_destination ON sender_states (destination, id);

-- Below `position` the destination has the stream on its disk. By address and not by row of `destinations`,
-- because it holds for every epoch of that sender.
CREATE TABLE acknowledgements (
    sender   TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    stream   TEXT    NOT NULL,
    position INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    PRIMARY KEY (sender, address, stream)
) STRICT, WITHOUT ROWID;

-- That the rest of an earlier session's region reached a destination; at most once for each pair.
CREATE TABLE recoveries (
    id               INTEGER PRIMARY KEY,
    session          INTEGER NOT NULL REFERENCES sessions (id),
    region           INTEGER NOT NULL REFERENCES regions (id),
    destination      TEXT    NOT NULL,
    original_session INTEGER NOT NULL REFERENCES sessions (id),
    time             INTEGER NOT NULL,
    UNIQUE (region, destination)
) STRICT;

CREATE TABLE faults (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    time    INTEGER NOT NULL,
    object  TEXT    NOT NULL,
    what    TEXT    NOT NULL
) STRICT;

CREATE TABLE receive_connections (
    id         INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (id),
    time       INTEGER NOT NULL,
    remote     TEXT    NOT NULL,
    port       INTEGER NOT NULL,
    group_name TEXT    NOT NULL,
    sender     TEXT    NOT NULL
) STRICT;
