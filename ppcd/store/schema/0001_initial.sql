-- The first schema: registers, facts and work, as docs/architecture.md explains them.
--
-- Facts are inserted once and never changed (a trigger at the end says so too); work rows exist only while there is
-- something to do; registers are edited by people. Facts are partitioned by ranges of the time-ordered id, so that
-- what the law lets us forget can be dropped without editing history.

-- ---------------------------------------------------------------------------------------------------------------
-- Time and ids

-- One clock decides about money on all nodes: this function, and nothing else. `ahead` is zero except in tests.
CREATE TABLE business_clock (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ahead interval NOT NULL DEFAULT '0'
);
INSERT INTO business_clock DEFAULT VALUES;

CREATE FUNCTION business_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS 'SELECT clock_timestamp() + ahead FROM business_clock';

-- Blocks of 1024 numbers; ppcd.store.ids makes time-ordered ids of them.
CREATE SEQUENCE id_block AS bigint MINVALUE 1;

-- ---------------------------------------------------------------------------------------------------------------
-- Registers

CREATE TABLE partner (
    partner_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,39}$'),
    merchant text NOT NULL,
    language text NOT NULL CHECK (language IN ('uk', 'ru', 'en')),
    webhook_url text,
    webhook_secret bytea NOT NULL,
    webhook_secret_before bytea,
    created_at timestamptz NOT NULL DEFAULT business_now(),
    closed_at timestamptz
);

CREATE TABLE partner_key (
    key_hash bytea PRIMARY KEY CHECK (length(key_hash) = 32),
    partner_id bigint NOT NULL REFERENCES partner,
    label text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT business_now(),
    revoked_at timestamptz
);
CREATE INDEX partner_key_of ON partner_key (partner_id);

CREATE TABLE tariff (
    partner_id bigint NOT NULL REFERENCES partner,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    description text NOT NULL,
    debit_start_s integer CHECK (debit_start_s BETWEEN 1 AND 604800),
    created_at timestamptz NOT NULL DEFAULT business_now(),
    closed_at timestamptz,
    PRIMARY KEY (partner_id, name)
);

-- A reply address keeps its number for ever: the number is part of the keys of `awaiting` and `hold`.
CREATE TABLE reply_address (
    address_no bigint PRIMARY KEY CHECK (address_no BETWEEN 0 AND 999),
    address text NOT NULL UNIQUE,
    route text NOT NULL
);

-- The stop button of a bad day. An empty partner or adapter means all of them.
CREATE TABLE pause (
    kind text NOT NULL CHECK (kind IN ('prompts', 'debits')),
    partner text NOT NULL DEFAULT '',
    adapter text NOT NULL DEFAULT '',
    since timestamptz NOT NULL DEFAULT business_now(),
    PRIMARY KEY (kind, partner, adapter)
);

-- ---------------------------------------------------------------------------------------------------------------
-- Facts

CREATE TABLE charge (
    charge_id bigint PRIMARY KEY,
    partner_id bigint NOT NULL,
    msisdn bigint NOT NULL CHECK (msisdn BETWEEN 10000 AND 999999999999999),
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    merchant text NOT NULL,
    description text NOT NULL,
    language text NOT NULL,
    reference text NOT NULL,
    correlator text,
    product_id text,
    route text NOT NULL,
    address text NOT NULL,
    address_no bigint NOT NULL,
    with_code boolean NOT NULL,
    billing text NOT NULL,
    debit_start_s integer NOT NULL,
    sink text,
    document text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at)
) PARTITION BY RANGE (charge_id);
CREATE INDEX charge_msisdn ON charge (msisdn, charge_id);
CREATE INDEX charge_partner ON charge (partner_id, charge_id);

-- Correlators and references are for ever, so they live apart and without personal data.
CREATE TABLE charge_key (
    partner_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('correlator', 'reference')),
    value_hash bytea NOT NULL CHECK (length(value_hash) = 32),
    charge_id bigint NOT NULL,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (partner_id, kind, value_hash)
);

-- What ppcd wrote to the phone. prompt_no says what it was: 0 the prompt, 1 and up its repetitions after an unclear
-- answer, 100 and up the single notices (ppcd.store.prompts has the list), so that each is sent for once.
-- The text has the code blanked: only the phone is told it.
CREATE TABLE prompt (
    charge_id bigint NOT NULL,
    prompt_no bigint NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    text text NOT NULL,
    segments bigint NOT NULL CHECK (segments > 0),
    written_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, prompt_no)
) PARTITION BY RANGE (charge_id);

-- The SMSC's answer to each segment of each attempt. command_status is NULL when no answer came.
CREATE TABLE prompt_answer (
    charge_id bigint NOT NULL,
    prompt_no bigint NOT NULL,
    attempt bigint NOT NULL,
    segment bigint NOT NULL,
    link text NOT NULL,
    command_status bigint,
    message_id text,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, prompt_no, attempt, segment)
) PARTITION BY RANGE (charge_id);
CREATE INDEX prompt_answer_message ON prompt_answer (message_id) WHERE message_id IS NOT NULL;

CREATE TABLE receipt (
    receipt_id bigint PRIMARY KEY,
    charge_id bigint,
    prompt_no bigint,
    link text NOT NULL,
    msisdn bigint,
    message_id text NOT NULL,
    state text NOT NULL,
    error text,
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (receipt_id);
CREATE INDEX receipt_message ON receipt (message_id);
CREATE INDEX receipt_charge ON receipt (charge_id) WHERE charge_id IS NOT NULL;

-- The evidence: what the phone sent, byte for byte, how it was read and what it did.
CREATE TABLE reply (
    reply_id bigint PRIMARY KEY,
    charge_id bigint,
    msisdn bigint,
    address text NOT NULL,
    link text NOT NULL,
    raw bytea NOT NULL,
    data_coding smallint NOT NULL,
    esm_class smallint NOT NULL,
    verdict text NOT NULL,
    number text,
    rule text NOT NULL,
    effect text NOT NULL,
    received_at timestamptz NOT NULL
) PARTITION BY RANGE (reply_id);
CREATE INDEX reply_charge ON reply (charge_id) WHERE charge_id IS NOT NULL;

-- An attempt is recorded before its first byte; an attempt without a result is in doubt.
CREATE TABLE debit_attempt (
    charge_id bigint NOT NULL,
    attempt bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('debit', 'query')),
    billing text NOT NULL,
    node text NOT NULL,
    intended_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, attempt)
) PARTITION BY RANGE (charge_id);

CREATE TABLE debit_result (
    charge_id bigint NOT NULL,
    attempt bigint NOT NULL,
    result text NOT NULL CHECK (result IN ('debited', 'denied', 'not_sent', 'not_found', 'unknown')),
    reason text,
    reference text,
    detail text NOT NULL,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, attempt)
) PARTITION BY RANGE (charge_id);

-- The end of a charge. Its primary key is the promise that there is one.
CREATE TABLE outcome (
    charge_id bigint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('succeeded', 'denied', 'declined', 'expired', 'cancelled', 'undeliverable')),
    reason text,
    billing_reference text,
    decided_at timestamptz NOT NULL,
    CHECK ((state = 'succeeded') = (reason IS NULL))
) PARTITION BY RANGE (charge_id);

CREATE INDEX outcome_billing_reference ON outcome (billing_reference)
    WHERE billing_reference IS NOT NULL;

CREATE TABLE notification (
    charge_id bigint NOT NULL,
    sequence bigint NOT NULL,
    url text NOT NULL,
    made_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, sequence)
) PARTITION BY RANGE (charge_id);

CREATE TABLE delivery (
    charge_id bigint NOT NULL,
    sequence bigint NOT NULL,
    attempt bigint NOT NULL,
    result text NOT NULL CHECK (result IN ('delivered', 'later', 'gone', 'dead')),
    detail text NOT NULL,
    attempted_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, sequence, attempt)
) PARTITION BY RANGE (charge_id);

-- ---------------------------------------------------------------------------------------------------------------
-- Work

-- key = msisdn * 1000 + address_no: one awaiting charge per subscriber and reply address.
-- Confirm, decline, cancel, expire and undeliverable are one act: deleting this row.
CREATE TABLE awaiting (
    key bigint PRIMARY KEY,
    charge_id bigint NOT NULL,
    partner_id bigint NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    major_number text NOT NULL,
    code text,
    billing text NOT NULL,
    debit_start_s integer NOT NULL,
    written_at timestamptz,
    expires_at timestamptz NOT NULL,
    reprompts smallint NOT NULL DEFAULT 0,
    wrong_codes smallint NOT NULL DEFAULT 0
) WITH (fillfactor = 85);
CREATE INDEX awaiting_expires ON awaiting (expires_at);

-- This subscriber has this reply address until free_at; a late answer to it meant this charge.
CREATE TABLE hold (
    key bigint PRIMARY KEY,
    charge_id bigint NOT NULL,
    free_at timestamptz NOT NULL
);
CREATE INDEX hold_free ON hold (free_at);

-- In all job tables a job is visible to others from run_at on; it is inserted leased to the node that wrote it.
CREATE TABLE prompt_job (
    charge_id bigint NOT NULL,
    prompt_no bigint NOT NULL,
    kind text NOT NULL,
    code text,
    key bigint NOT NULL,
    give_up_at timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    run_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, prompt_no)
);
CREATE INDEX prompt_job_run ON prompt_job (run_at);

CREATE TABLE debit_job (
    charge_id bigint PRIMARY KEY,
    partner_id bigint NOT NULL,
    msisdn bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    billing text NOT NULL,
    confirmed_at timestamptz NOT NULL,
    start_by timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    -- What the next attempt is: the debit, or a question about it.
    plan text NOT NULL DEFAULT 'debit' CHECK (plan IN ('debit', 'query', 'review')),
    doubt_since timestamptz,
    review_since timestamptz,
    run_at timestamptz NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX debit_job_run ON debit_job (run_at) WHERE review_since IS NULL;

CREATE TABLE webhook_job (
    charge_id bigint NOT NULL,
    sequence bigint NOT NULL,
    partner_id bigint NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL,
    run_at timestamptz NOT NULL,
    dead_since timestamptz,
    PRIMARY KEY (charge_id, sequence)
);
CREATE INDEX webhook_job_run ON webhook_job (run_at) WHERE dead_since IS NULL;

-- The partner's secret for its own sink: kept while a notification may be due, then deleted.
CREATE TABLE sink_token (
    charge_id bigint PRIMARY KEY,
    token text NOT NULL
);

-- ---------------------------------------------------------------------------------------------------------------
-- The status of a charge: a view over its facts and its work

CREATE VIEW charge_status AS
SELECT c.charge_id,
       CASE
           WHEN o.charge_id IS NOT NULL THEN o.state
           WHEN j.review_since IS NOT NULL THEN 'review'
           WHEN j.doubt_since IS NOT NULL THEN 'in_doubt'
           WHEN j.charge_id IS NOT NULL THEN
               CASE WHEN EXISTS (
                        SELECT FROM debit_attempt d
                         WHERE d.charge_id = c.charge_id AND d.attempt = j.attempts
                           AND NOT EXISTS (SELECT FROM debit_result r
                                            WHERE r.charge_id = c.charge_id AND r.attempt = d.attempt))
                    THEN 'debiting' ELSE 'confirmed' END
           WHEN a.charge_id IS NOT NULL THEN 'awaiting'
       END AS state,
       o.reason, o.billing_reference, o.decided_at
  FROM charge c
  LEFT JOIN outcome o ON o.charge_id = c.charge_id
  LEFT JOIN debit_job j ON j.charge_id = c.charge_id
  LEFT JOIN awaiting a ON a.key = c.msisdn * 1000 + c.address_no AND a.charge_id = c.charge_id;

-- ---------------------------------------------------------------------------------------------------------------
-- Facts stay as they were written

CREATE FUNCTION facts_do_not_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a fact does not change: % on %', TG_OP, TG_TABLE_NAME;
END $$;

DO $$
DECLARE
    fact text;
BEGIN
    FOREACH fact IN ARRAY ARRAY['charge', 'prompt', 'prompt_answer', 'receipt', 'reply', 'debit_attempt',
                                'debit_result', 'outcome', 'notification', 'delivery'] LOOP
        EXECUTE format('CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION facts_do_not_change()', fact);
    END LOOP;
END $$;
CREATE TRIGGER facts_do_not_change BEFORE UPDATE ON charge_key
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();
