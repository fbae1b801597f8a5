-- Secrets that the object makes for itself, by what they are for.
CREATE TABLE secrets (
    name  TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Who there is. A principal is never deleted: what it did stays its own.
CREATE TABLE principals (
    id           TEXT    PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('human', 'workload', 'agent', 'organisation')),
    display_name TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT,
    disabled_at  INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX principals_by_age ON principals (created_at, id);
CREATE INDEX principals_by_name ON principals (display_name COLLATE NOCASE, id);

-- Ways in. Issuer and subject are what the kind calls so: of a passkey the RP id and the credential id.
-- One way in leads to one principal, whatever it is.
CREATE TABLE authenticators (
    id           TEXT    PRIMARY KEY,
    principal    TEXT    NOT NULL REFERENCES principals (id),
    kind         TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (kind, issuer, subject)
) STRICT, WITHOUT ROWID;

CREATE INDEX authenticators_by_principal ON authenticators (principal);

-- What only a passkey has.
CREATE TABLE passkeys (
    authenticator   TEXT    PRIMARY KEY REFERENCES authenticators (id) ON DELETE CASCADE,
    algorithm       INTEGER NOT NULL,
    public_key      BLOB    NOT NULL,
    sign_count      INTEGER NOT NULL,
    aaguid          BLOB    NOT NULL,
    transports      TEXT    NOT NULL,
    backup_eligible INTEGER NOT NULL,
    backed_up       INTEGER NOT NULL,
    attestation     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- What principals may do. Taken back is deleted: who did that is in the audit trail.
CREATE TABLE grants (
    principal  TEXT    NOT NULL REFERENCES principals (id),
    scope      TEXT    NOT NULL,
    granted_by TEXT,
    granted_at INTEGER NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (principal, scope)
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_scope ON grants (scope, principal);

-- Sessions by the hash of the secret in the cookie; `id` is for lists.
CREATE TABLE sessions (
    hash          BLOB    PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    principal     TEXT    NOT NULL REFERENCES principals (id),
    authenticator TEXT    REFERENCES authenticators (id) ON DELETE CASCADE,
    method        TEXT    NOT NULL,
    source        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    seen_at       INTEGER NOT NULL,
    verified_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_principal ON sessions (principal);
CREATE INDEX sessions_by_age ON sessions (created_at);
CREATE INDEX sessions_by_authenticator ON sessions (authenticator);

-- Invites by the hash of their token.
CREATE TABLE invites (
    id          TEXT    PRIMARY KEY,
    token_hash  BLOB    NOT NULL UNIQUE,
    created_by  TEXT    NOT NULL REFERENCES principals (id),
    scopes      TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    redeemed_by TEXT    REFERENCES principals (id),
    redeemed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX invites_by_age ON invites (created_at, id);
CREATE INDEX invites_by_creator ON invites (created_by);

-- Registrations that somebody let in and that wait for their authenticator.
CREATE TABLE registrations (
    principal    TEXT    PRIMARY KEY,
    admission    TEXT    NOT NULL CHECK (admission IN ('bootstrap', 'recovery', 'invite', 'session', 'open')),
    reference    BLOB,
    display_name TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Operator's codes that were used, by their hash.
CREATE TABLE used_codes (
    hash    BLOB    PRIMARY KEY,
    used_at INTEGER NOT NULL,
    used_by TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Who did what to whom, when and from where. Only ever added to.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT,
    action     TEXT    NOT NULL,
    target     TEXT,
    source     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    details    TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_target ON audit (target, id);
CREATE INDEX audit_by_action ON audit (action, id);
