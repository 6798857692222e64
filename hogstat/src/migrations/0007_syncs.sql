-- What syncs a session's files, in words; NULL where it did not say.
ALTER TABLE sessions ADD COLUMN synced_by TEXT;
