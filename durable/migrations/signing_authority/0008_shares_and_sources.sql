-- The first of the pairs that are renewed by one which signed for this, if a pair did: what somebody handed on with a
-- pair is taken back with it. The way in that they began with: it goes with that, too. And whose share it was of, of
-- what limits count. Nothing of what was made before this.
ALTER TABLE delegations ADD COLUMN signed_by INTEGER;
ALTER TABLE delegations ADD COLUMN way_in TEXT;
ALTER TABLE delegations ADD COLUMN share TEXT;
CREATE INDEX delegations_by_signer ON delegations (signed_by) WHERE signed_by IS NOT NULL;
CREATE INDEX delegations_given_of_share ON delegations (delegator, share, expires_at) WHERE revoked_at IS NULL;

-- The authenticator that somebody came in by who has this, if by one: once it is removed nothing is renewed that
-- began with it. Nothing of what was issued before this.
ALTER TABLE credentials ADD COLUMN way_in TEXT;

-- Registrations by their challenge, so that one who begins another for the same principal leaves this one waiting. Those
-- that wait now begin anew.
DROP TABLE registrations;
CREATE TABLE registrations (
    challenge    BLOB    PRIMARY KEY,
    principal    TEXT    NOT NULL,
    admission    TEXT    NOT NULL CHECK (admission IN ('bootstrap', 'recovery', 'invite', 'session', 'open')),
    reference    BLOB    NOT NULL,
    display_name TEXT    NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registrations_by_principal ON registrations (principal);
-- How many wait for the same, and which of them for longest.
CREATE INDEX registrations_by_reference ON registrations (admission, reference, expires_at);
