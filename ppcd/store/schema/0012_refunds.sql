-- Refunds: money that was debited and is given back, whole or in part.
--
-- Safe beside nodes of the previous release, which neither make refunds nor work on them. They do claim notifications,
-- and would tell the end of the charge again instead of that of a refund: take refunds (`abilities.reversible`) once all
-- nodes are of this release.

-- ---------------------------------------------------------------------------------------------------------------
-- Facts. In the partitions of their charge, so that what the law lets us forget goes as a whole.

CREATE TABLE refund (
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    partner_id bigint NOT NULL,
    -- All that was left then; what it came to is the amount.
    whole boolean NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    reference text NOT NULL,
    correlator text,
    reason text,
    sink text,
    document text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, refund_id)
) PARTITION BY RANGE (charge_id);
-- By its own id alone, as people have it.
CREATE INDEX refund_id ON refund (refund_id);

-- An attempt is recorded before its first byte; an attempt without a result is in doubt.
CREATE TABLE refund_attempt (
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    attempt bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('refund', 'query')),
    billing text NOT NULL,
    node text NOT NULL,
    intended_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, refund_id, attempt)
) PARTITION BY RANGE (charge_id);

CREATE TABLE refund_result (
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    attempt bigint NOT NULL,
    result text NOT NULL CHECK (result IN ('refunded', 'denied', 'not_sent', 'not_found', 'unknown')),
    reason text,
    reference text,
    detail text NOT NULL,
    answered_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, refund_id, attempt)
) PARTITION BY RANGE (charge_id);

-- The end of a refund. Its primary key is the promise that there is one.
CREATE TABLE refund_outcome (
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('succeeded', 'denied')),
    reason text,
    billing_reference text,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, refund_id),
    CHECK ((state = 'succeeded') = (reason IS NULL))
) PARTITION BY RANGE (charge_id);

-- What people decided about refunds that no machine could settle: who, why, and what it was.
CREATE TABLE refund_resolution (
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('succeeded', 'denied')),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    reference text CHECK (state = 'succeeded' OR reference IS NULL),
    person text NOT NULL CHECK (length(person) BETWEEN 1 AND 200),
    resolved_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, refund_id)
) PARTITION BY RANGE (charge_id);

-- Correlators and references are for ever, so they live apart and without personal data.
CREATE TABLE refund_key (
    partner_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('correlator', 'reference')),
    value_hash bytea NOT NULL CHECK (length(value_hash) = 32),
    charge_id bigint NOT NULL,
    refund_id bigint NOT NULL,
    fingerprint bytea NOT NULL,
    PRIMARY KEY (partner_id, kind, value_hash)
);

-- NULL: about the charge itself.
ALTER TABLE notification ADD COLUMN refund_id bigint;

-- `sink_token` is kept by charge or by refund: their ids never meet.

-- ---------------------------------------------------------------------------------------------------------------
-- Work

CREATE TABLE refund_job (
    refund_id bigint PRIMARY KEY,
    charge_id bigint NOT NULL,
    partner_id bigint NOT NULL,
    msisdn bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    billing text NOT NULL,
    accepted_at timestamptz NOT NULL,
    start_by timestamptz NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    -- What the next attempt is: the refund, or a question about it.
    plan text NOT NULL DEFAULT 'refund' CHECK (plan IN ('refund', 'query', 'review')),
    doubt_since timestamptz,
    review_since timestamptz,
    run_at timestamptz NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX refund_job_run ON refund_job (run_at) WHERE review_since IS NULL;

-- ---------------------------------------------------------------------------------------------------------------
-- The status of a refund: a view over its facts and its work

CREATE VIEW refund_status AS
SELECT r.charge_id, r.refund_id,
       CASE
           WHEN o.refund_id IS NOT NULL THEN o.state
           WHEN j.review_since IS NOT NULL THEN 'review'
           WHEN j.doubt_since IS NOT NULL THEN 'in_doubt'
           WHEN EXISTS (SELECT FROM refund_attempt a
                         WHERE a.charge_id = r.charge_id AND a.refund_id = r.refund_id AND a.attempt = j.attempts
                           AND NOT EXISTS (SELECT FROM refund_result t
                                            WHERE t.charge_id = r.charge_id AND t.refund_id = r.refund_id
                                              AND t.attempt = a.attempt))
               THEN 'refunding'
           ELSE 'accepted'
       END AS state,
       o.reason, o.billing_reference, o.decided_at
  FROM refund r
  LEFT JOIN refund_outcome o ON o.charge_id = r.charge_id AND o.refund_id = r.refund_id
  LEFT JOIN refund_job j ON j.refund_id = r.refund_id;

-- ---------------------------------------------------------------------------------------------------------------
-- Facts stay as they were written; and a charge that is older than the months that are made from now on can be given
-- back too: take over the months of the charges.

DO $$
DECLARE
    fact text;
    part record;
BEGIN
    FOREACH fact IN ARRAY ARRAY['refund', 'refund_attempt', 'refund_result', 'refund_outcome', 'refund_resolution'] LOOP
        EXECUTE format('CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION facts_do_not_change()', fact);
        FOR part IN
            SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
              FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
             WHERE i.inhparent = to_regclass('debit_attempt')
        LOOP
            EXECUTE format('CREATE TABLE %I PARTITION OF %I %s',
                           replace(part.relname, 'debit_attempt_', fact || '_'), fact, part.bounds);
        END LOOP;
    END LOOP;
END $$;
CREATE TRIGGER facts_do_not_change BEFORE UPDATE ON refund_key
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();
