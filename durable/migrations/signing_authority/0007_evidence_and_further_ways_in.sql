-- Until when the proof lasts that a pair was issued for, in Unix seconds: a pair asks for further ones for so long.
-- Nothing where the proof doesn't say, and for what was issued before this.
ALTER TABLE credentials ADD COLUMN evidence_until INTEGER;

-- Until when its holder may do with it what needs a passkey that was just shown, in Unix seconds, if they showed one.
ALTER TABLE credentials ADD COLUMN fresh_until INTEGER;

-- The first of the pairs that this one renews: what was asked for with one proof is revoked together.
ALTER TABLE credentials ADD COLUMN renews INTEGER;
CREATE INDEX credentials_by_first ON credentials (renews) WHERE renews IS NOT NULL;

-- Whom an invite is for, if it is no newcomer: it is a further way in of theirs.
ALTER TABLE invites ADD COLUMN principal TEXT REFERENCES principals (id);
