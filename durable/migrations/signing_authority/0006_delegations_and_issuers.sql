-- What one principal lets another do on somebody's behalf. What a row is worth is what it and all above it
-- allow at the moment that it is used: nothing is written below a row that is revoked.
CREATE TABLE delegations (
    id           TEXT    PRIMARY KEY,
    parent       TEXT,
    delegator    TEXT    NOT NULL REFERENCES principals (id),
    on_behalf_of TEXT    NOT NULL REFERENCES principals (id),
    delegate     TEXT    NOT NULL REFERENCES principals (id),
    scopes       TEXT    NOT NULL,
    audience     TEXT,
    purpose      BLOB,
    depth        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER,
    revoked_by   TEXT
) STRICT, WITHOUT ROWID;

-- Lists, the newest first.
CREATE INDEX delegations_by_age ON delegations (created_at, id);
CREATE INDEX delegations_by_delegator ON delegations (delegator, created_at, id);
CREATE INDEX delegations_by_delegate ON delegations (delegate, created_at, id);
-- What is in force: how much somebody has given, and what hangs on what is revoked.
CREATE INDEX delegations_given ON delegations (delegator, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX delegations_received ON delegations (delegate, expires_at) WHERE revoked_at IS NULL;
CREATE INDEX delegations_below ON delegations (parent, expires_at) WHERE revoked_at IS NULL;
-- What is over.
CREATE INDEX delegations_by_end ON delegations (expires_at);

-- What a credential hangs on, if on anything. Of an issuing certificate both serial numbers are its one.
ALTER TABLE credentials ADD COLUMN delegation TEXT;
CREATE INDEX credentials_by_delegation ON credentials (delegation) WHERE delegation IS NOT NULL;

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
