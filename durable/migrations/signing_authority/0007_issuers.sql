-- Rows that administrators made: who is let in beside those whom the configuration names. They are asked in the
-- order of their places. A row's revision is that of all rows when it was last changed, so no two are alike.
CREATE TABLE issuers (
    place      INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    row        TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;

-- How often they were changed.
CREATE TABLE issuers_revision (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;

INSERT INTO issuers_revision VALUES (1, 0);
