-- Pairs that were issued, written in the transaction that burns the proof. The id is the second of
-- issue × 2^20, or one more than the last id if that is higher: rows are in the order of issue, and what
-- a time bounds is a range of ids, without an index that every issue would have to write.
CREATE TABLE credentials (
    id             INTEGER PRIMARY KEY,
    serial         BLOB    NOT NULL,
    signing_serial BLOB    NOT NULL,
    subject        TEXT    NOT NULL,
    identity       TEXT    NOT NULL,
    principal      TEXT,
    method         TEXT    NOT NULL,
    scopes         TEXT    NOT NULL,
    epoch          INTEGER NOT NULL,
    issued_at      INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    revoked_at     INTEGER,
    revoked_by     TEXT
) STRICT;

CREATE INDEX credentials_by_serial ON credentials (serial);
CREATE INDEX credentials_by_signing_serial ON credentials (signing_serial);
CREATE INDEX credentials_by_subject ON credentials (subject);
CREATE INDEX credentials_by_principal ON credentials (principal) WHERE principal IS NOT NULL;
CREATE INDEX credentials_revoked ON credentials (id) WHERE revoked_at IS NOT NULL;

-- Names as they are searched for. An index on the name itself, with the collation NOCASE, can't be
-- entered in the middle of equal names.
ALTER TABLE principals ADD COLUMN folded_name TEXT GENERATED ALWAYS AS (lower(display_name)) VIRTUAL;

DROP INDEX principals_by_name;
CREATE INDEX principals_by_name ON principals (folded_name, id);
CREATE INDEX principals_disabled ON principals (created_at, id) WHERE disabled_at IS NOT NULL;

-- Lists are the newest first, also those of one principal.
DROP INDEX authenticators_by_principal;
CREATE INDEX authenticators_by_principal ON authenticators (principal, created_at, id);
CREATE INDEX authenticators_by_age ON authenticators (created_at, id);

DROP INDEX sessions_by_principal;
DROP INDEX sessions_by_age;
CREATE INDEX sessions_by_principal ON sessions (principal, created_at, id);
CREATE INDEX sessions_by_age ON sessions (created_at, id);

DROP INDEX invites_by_creator;
CREATE INDEX invites_by_creator ON invites (created_by, created_at, id);
