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
