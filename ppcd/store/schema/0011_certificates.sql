-- Partners' TLS certificates: shown beside a key or instead of one, as the configuration says.
--
-- Safe beside nodes of the previous release: they don't ask for certificates.

CREATE TABLE partner_certificate (
    certificate_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partner_id bigint NOT NULL REFERENCES partner,
    -- One of both: this very certificate (SHA-256), or any of our authorities' with this subject (RFC 4514).
    fingerprint bytea CHECK (length(fingerprint) = 32),
    subject text CHECK (subject <> ''),
    label text NOT NULL DEFAULT '',
    -- NULL: all of them. Of no account beside a key.
    scopes text[] CHECK (cardinality(scopes) > 0),
    created_at timestamptz NOT NULL DEFAULT business_now(),
    revoked_at timestamptz,
    CHECK ((fingerprint IS NULL) <> (subject IS NULL))
);
CREATE INDEX partner_certificate_of ON partner_certificate (partner_id);
-- What is shown says who it is: no two partners have the same.
CREATE UNIQUE INDEX partner_certificate_fingerprint ON partner_certificate (fingerprint) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX partner_certificate_subject ON partner_certificate (subject) WHERE revoked_at IS NULL;
