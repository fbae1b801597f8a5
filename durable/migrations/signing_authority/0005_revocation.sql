-- Who is revoked as a whole: whatever was issued to them up to a second. A row goes when nothing of that
-- can be valid any more.
CREATE TABLE revoked (
    kind       TEXT    NOT NULL CHECK (kind IN ('principal')),
    subject    TEXT    NOT NULL,
    before     INTEGER NOT NULL,
    told_until INTEGER NOT NULL,
    PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;

-- The number of the last list of what is revoked.
CREATE TABLE revocation_list (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

-- The last CRL of a key, which it signed when it was rolled over.
ALTER TABLE signing_keys ADD COLUMN last_crl BLOB;
