-- The authority that this state belongs to. Its URL stands in certificates, so it can't just change.
CREATE TABLE authority (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    url        TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Every CA key there ever was. The one that signs has no retired_at; only it has a private key.
CREATE TABLE signing_keys (
    epoch       INTEGER NOT NULL,
    key_id      TEXT    NOT NULL,
    public_key  BLOB    NOT NULL,
    storage     TEXT    NOT NULL CHECK (storage IN ('clear', 'memory', 'sealed')),
    private_key BLOB,
    root        BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    retired_at  INTEGER,
    PRIMARY KEY (epoch, key_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_current_key ON signing_keys ((1)) WHERE retired_at IS NULL;

-- The last revocation bundle, as canonical Cap'n Proto (struct CABundle): its sequence number must
-- survive, and never go back.
CREATE TABLE bundle (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    body BLOB    NOT NULL
) STRICT;

-- Proofs that were used. A row may go when its proof would be refused as expired.
CREATE TABLE burned (
    digest     BLOB    PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
