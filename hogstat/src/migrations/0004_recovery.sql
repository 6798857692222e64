-- What a session recovers of earlier ones, how far, and what came of it; regions that an heir took over or that were
-- given up; destinations that are no longer owed anything.
--
-- SQLite cannot change a CHECK: the tables are made anew and take their rows over. (Foreign keys are not enforced while
-- migrations run, or the drop of a table would be held against the rows that name it.)

DROP VIEW ReaderRegistration;
DROP VIEW ReaderState;
DROP VIEW SessionRecovered;

-- A ring that sessions drained. adopted: being drained, its owner a later run of its producer. abandoned: given up by a
-- person, with whatever was not delivered of it.
CREATE TABLE regions_anew (
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
    state         TEXT    NOT NULL CHECK (state IN ('open', 'adopted', 'kept', 'ended', 'lost', 'abandoned')),
    position      INTEGER NOT NULL,
    closed        INTEGER,
    CHECK ((state IN ('open', 'adopted')) = (closed IS NULL))
) STRICT;
INSERT INTO regions_anew
SELECT id, ring, group_name, name, path, boot, created, capacity, first_session, first_seen, state, position, closed
  FROM regions;
DROP TABLE regions;
ALTER TABLE regions_anew RENAME TO regions;
CREATE INDEX regions_unfinished ON regions (group_name) WHERE state IN ('open', 'adopted', 'kept');
CREATE INDEX regions_by_boot ON regions (boot, id);
CREATE INDEX regions_by_first_session ON regions (first_session);

-- What was left of a region when the session that had drained it was over, on its way to one destination. `session`
-- is the latest that worked at it. At most once for each region and destination that a session left.
CREATE TABLE recoveries_anew (
    id               INTEGER PRIMARY KEY,
    session          INTEGER NOT NULL REFERENCES sessions (id),
    region           INTEGER NOT NULL REFERENCES regions (id),
    destination      TEXT    NOT NULL,
    original_session INTEGER NOT NULL REFERENCES sessions (id),
    from_position    INTEGER NOT NULL,
    to_position      INTEGER NOT NULL,
    outcome          TEXT    NOT NULL CHECK (outcome IN ('begun', 'delivered', 'lost', 'abandoned')),
    began            INTEGER NOT NULL,
    ended            INTEGER,
    UNIQUE (region, destination, original_session),
    CHECK (from_position <= to_position),
    CHECK ((outcome = 'begun') = (ended IS NULL))
) STRICT;
INSERT INTO recoveries_anew
SELECT id, session, region, destination, original_session, 0, 0, 'delivered', time, time
  FROM recoveries;
DROP TABLE recoveries;
ALTER TABLE recoveries_anew RENAME TO recoveries;
CREATE INDEX recoveries_begun ON recoveries (region) WHERE outcome = 'begun';

-- When a person said that this destination is not to get what that session drained for it; NULL if nobody did.
ALTER TABLE destinations ADD COLUMN abandoned INTEGER;

CREATE VIEW ReaderRegistration AS
SELECT r.time / 1000 AS datetime,
       r.session     AS sessionHash,
       g.name        AS writerId,
       g.ring        AS readerId,
       g.path        AS shmname,
       g.group_name  AS groupName
  FROM reader_registrations r
  JOIN regions g ON g.id = r.region;

CREATE VIEW ReaderState AS
SELECT t.time / 1000 AS datetime,
       t.session     AS sessionHash,
       g.ring        AS id,
       CASE t.status WHEN 'started' THEN 'Started' WHEN 'closed' THEN 'Closed' ELSE 'Lost' END AS status
  FROM reader_states t
  JOIN regions g ON g.id = t.region
 ORDER BY t.id;

-- One row for each recovery that is over, with how much it was beyond what the original noted.
CREATE VIEW SessionRecovered AS
SELECT r.ended / 1000   AS datetime,
       r.session        AS sessionHash,
       coalesce((SELECT s.sender
                   FROM spools s
                  WHERE s.session = r.original_session AND s.group_name = g.group_name
                  ORDER BY s.id DESC
                  LIMIT 1), '')  AS senderId,
       g.ring           AS readerId,
       o.started / 1000 AS originalSessionTime,
       r.destination,
       r.outcome,
       r.to_position - r.from_position AS bytes
  FROM recoveries r
  JOIN regions g ON g.id = r.region
  JOIN sessions o ON o.id = r.original_session
 WHERE r.outcome <> 'begun'
 ORDER BY r.ended, r.id;
