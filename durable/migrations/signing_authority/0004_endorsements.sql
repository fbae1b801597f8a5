-- An epoch may have several keys, of which each was rolled over to the next: their order in it, and
-- what the key before signed to endorse this one. Before this there was one key to an epoch.
ALTER TABLE signing_keys ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_keys ADD COLUMN endorsement BLOB;

CREATE UNIQUE INDEX signing_keys_in_order ON signing_keys (epoch, position);
