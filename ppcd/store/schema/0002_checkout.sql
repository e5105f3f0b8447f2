-- The hosted payment page: its sessions, and the sites that may show it in a frame of theirs.

-- Where a partner's pages live. Only these may frame the payment page.
CREATE TABLE partner_site (
    partner_id bigint NOT NULL REFERENCES partner,
    origin text NOT NULL CHECK (origin ~ '^https?://[a-z0-9.:_\[\]-]+$'),
    PRIMARY KEY (partner_id, origin)
);

-- One thing to be paid, at most once. Its id opens the page, so it is kept as a hash only.
--
-- A session pays through charges, one a try. A try is counted before its charge is asked for; the charge's
-- correlator is made of the session and the try, so that asking again finds it. The next try may begin only when
-- the one before has come to an end without money, or was refused by the one process that had ever asked for it.
CREATE TABLE checkout_session (
    id_hash bytea PRIMARY KEY CHECK (length(id_hash) = 32),
    partner_id bigint NOT NULL REFERENCES partner,
    variant smallint NOT NULL CHECK (variant IN (1, 2)),
    -- JSON: [{"product", "amount_minor", "currency", "description"}]: the prices promised when it was opened.
    offers text NOT NULL,
    -- The number linked to the buyer's account, where the partner passed one.
    msisdn bigint CHECK (msisdn BETWEEN 10000 AND 999999999999999),
    language text CHECK (language IN ('uk', 'ru', 'en')),
    reference text NOT NULL,
    success_url text,
    cancel_url text,
    brand_name text,
    brand_logo_url text,
    brand_color text CHECK (brand_color ~ '^#[0-9a-f]{6}$'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    tries smallint NOT NULL DEFAULT 0 CHECK (tries >= 0),
    -- The current try. `try_owner` is whoever asks for its charge; 0 when several do.
    try_offer smallint,
    try_msisdn bigint,
    try_language text,
    try_owner bigint,
    try_charge_id bigint,
    try_refused text CHECK (try_refused IN ('no_free_address', 'not_served', 'reference_taken')),
    CHECK ((tries = 0) = (try_owner IS NULL))
) WITH (fillfactor = 85);
CREATE INDEX checkout_session_expires ON checkout_session (expires_at);
