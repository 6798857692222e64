-- The archive of a group as a session that writes it without a network opened it. `directory` may have the variable
-- $DATE in it: a new one is begun each day.
CREATE TABLE archives (
    id         INTEGER PRIMARY KEY,
    session    INTEGER NOT NULL REFERENCES sessions (id),
    group_name TEXT    NOT NULL,
    directory  TEXT    NOT NULL,
    registered INTEGER NOT NULL,
    UNIQUE (session, group_name)
) STRICT;
CREATE INDEX archives_by_group ON archives (group_name, id);
