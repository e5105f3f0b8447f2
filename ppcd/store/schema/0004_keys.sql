-- Keys that say what they may do, from where, and until when; subscribers who are not to be asked; tokens that end.
--
-- Safe beside nodes of the previous release: they read and write the columns that were there, and a key without
-- scopes, networks or an end is what a key was to them. Give out narrower keys once all nodes are of this release.

-- What a person calls a key by; its hash is no handle for that.
ALTER TABLE partner_key ADD COLUMN key_id bigint GENERATED ALWAYS AS IDENTITY;
-- NULL: all of them, also those of operations that are yet to come.
ALTER TABLE partner_key ADD COLUMN scopes text[] CHECK (cardinality(scopes) > 0);
-- NULL: wherever the partner may call from.
ALTER TABLE partner_key ADD COLUMN networks cidr[] CHECK (cardinality(networks) > 0);
ALTER TABLE partner_key ADD COLUMN expires_at timestamptz;
CREATE UNIQUE INDEX partner_key_id ON partner_key (key_id);

-- NULL: from anywhere.
ALTER TABLE partner ADD COLUMN networks cidr[] CHECK (cardinality(networks) > 0);

-- ---------------------------------------------------------------------------------------------------------------
-- Whom not to ask: by the subscriber's own STOP for a while, or by a person. No `until`: until somebody says so.

CREATE TABLE blocked_subscriber (
    msisdn bigint PRIMARY KEY CHECK (msisdn BETWEEN 10000 AND 999999999999999),
    why text NOT NULL CHECK (why IN ('operator', 'stop')),
    note text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT business_now(),
    until timestamptz CHECK (until > since)
);

-- ---------------------------------------------------------------------------------------------------------------
-- A partner's token for its own sink is shown there no longer than the partner said. NULL: it did not say.

ALTER TABLE sink_token ADD COLUMN expires_at timestamptz;
