-- Access tokens of OAuth 2: what a key was exchanged for, for an hour or so.
--
-- Safe beside nodes of the previous release: they don't know the table, and to them a token is a key that opens nothing.

-- Neither a fact nor edited by people: whoever has the key gets another. Stored as a hash, like keys.
CREATE TABLE access_token (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    key_id bigint NOT NULL REFERENCES partner_key (key_id) ON DELETE CASCADE,
    -- NULL: all that the key has.
    scopes text[] CHECK (cardinality(scopes) > 0),
    made_at timestamptz NOT NULL DEFAULT business_now(),
    expires_at timestamptz NOT NULL CHECK (expires_at > made_at)
);
CREATE INDEX access_token_key ON access_token (key_id, made_at);
