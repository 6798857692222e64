-- Of which kind a fault is, and how often it came: one that comes again in the same session, with the same words, is counted and makes no row.
-- Since when is `time`, until when `last`.
ALTER TABLE faults ADD COLUMN kind TEXT NOT NULL DEFAULT 'fault'
    CHECK (kind IN ('fault', 'loss', 'panic', 'error', 'stall', 'given-up', 'peer'));
ALTER TABLE faults ADD COLUMN last INTEGER NOT NULL DEFAULT 0;
ALTER TABLE faults ADD COLUMN count INTEGER NOT NULL DEFAULT 1 CHECK (count > 0);
UPDATE faults SET last = time;
CREATE INDEX faults_by_object ON faults (session, object);
