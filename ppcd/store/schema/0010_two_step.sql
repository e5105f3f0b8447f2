-- Payments in two steps: money is held first, and taken or let go when the partner says so.
--
-- Safe beside nodes of the previous release as long as nobody asks for such payments: they would debit at once what is
-- only to be reserved. Say `abilities.reserving` of a billing system once all nodes are of this release.

ALTER TABLE charge ADD COLUMN two_step boolean NOT NULL DEFAULT false;
-- Consent is given by a code that only the phone was sent: what the partner names it by. NULL: by an answer.
ALTER TABLE charge ADD COLUMN authorization_id text CHECK (authorization_id IS NULL OR two_step);
-- `code` is then a hash that no answer can be: only the partner's validation compares with it.
ALTER TABLE awaiting ADD COLUMN by_pin boolean NOT NULL DEFAULT false;

-- What the job is for: a doubt is always about this. `plan` is what its next attempt does about it.
-- A job that nobody has begun says 'debit', whatever its charge is: the confirming statement does not look.
ALTER TABLE debit_job ADD COLUMN act text NOT NULL DEFAULT 'debit'
    CHECK (act IN ('debit', 'reserve', 'capture', 'release'));
-- Attempts at what came before this act: pauses grow with those after them.
ALTER TABLE debit_job ADD COLUMN tried_before bigint NOT NULL DEFAULT 0;

-- Wider than before, so that what is there need not be looked at.
ALTER TABLE debit_job DROP CONSTRAINT debit_job_plan_check;
ALTER TABLE debit_job ADD CONSTRAINT debit_job_plan_check
    CHECK (plan IN ('debit', 'reserve', 'capture', 'release', 'query', 'review')) NOT VALID;
ALTER TABLE debit_attempt DROP CONSTRAINT debit_attempt_kind_check;
ALTER TABLE debit_attempt ADD CONSTRAINT debit_attempt_kind_check
    CHECK (kind IN ('debit', 'reserve', 'capture', 'release', 'query')) NOT VALID;
ALTER TABLE debit_result DROP CONSTRAINT debit_result_result_check;
ALTER TABLE debit_result ADD CONSTRAINT debit_result_result_check
    CHECK (result IN ('debited', 'reserved', 'released', 'denied', 'not_sent', 'not_found', 'unknown')) NOT VALID;
ALTER TABLE debit_resolution DROP CONSTRAINT debit_resolution_state_check;
ALTER TABLE debit_resolution ADD CONSTRAINT debit_resolution_state_check
    CHECK (state IN ('succeeded', 'denied', 'cancelled')) NOT VALID;

-- What the partner is told: the end of a charge, or what comes before it in two steps.
ALTER TABLE notification ADD COLUMN kind text NOT NULL DEFAULT 'end'
    CHECK (kind IN ('pending_validation', 'reserved', 'end'));

-- Work: money is held, and the partner has not decided. Confirming, cancelling and lapsing are one act: deleting this
-- row; whoever does it decides, and inserts the job that captures or releases.
CREATE TABLE reservation (
    charge_id bigint PRIMARY KEY,
    partner_id bigint NOT NULL,
    msisdn bigint NOT NULL,
    amount_minor bigint NOT NULL CHECK (amount_minor > 0),
    currency text NOT NULL,
    billing text NOT NULL,
    -- The attempts so far: those of the second step are counted on.
    attempts bigint NOT NULL,
    -- It counts against its limits until it is let go; see debit_job.
    counted_on date,
    reserved_at timestamptz NOT NULL,
    lapses_at timestamptz NOT NULL
);
CREATE INDEX reservation_lapses ON reservation (lapses_at);
CREATE INDEX reservation_msisdn ON reservation (msisdn);

-- Facts: how a reservation ended, and each code that was tried to consent with.
CREATE TABLE reservation_decision (
    charge_id bigint PRIMARY KEY,
    decision text NOT NULL CHECK (decision IN ('confirmed', 'cancelled', 'lapsed')),
    decided_at timestamptz NOT NULL
) PARTITION BY RANGE (charge_id);

CREATE TABLE validation (
    charge_id bigint NOT NULL,
    try_no bigint NOT NULL,
    effect text NOT NULL CHECK (effect IN ('confirmed', 'wrong_code', 'codes_used_up')),
    tried_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, try_no)
) PARTITION BY RANGE (charge_id);

CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON reservation_decision
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();
CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON validation
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();

-- A charge may be of a month that was made before these tables.
DO $$
DECLARE
    part record;
    fact text;
BEGIN
    FOREACH fact IN ARRAY ARRAY['reservation_decision', 'validation'] LOOP
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

-- `was_reserved`: the money is held, or was until the partner or the time decided.
CREATE OR REPLACE VIEW charge_status AS
SELECT c.charge_id,
       CASE
           WHEN o.charge_id IS NOT NULL THEN o.state
           WHEN j.review_since IS NOT NULL THEN 'review'
           WHEN j.act = 'release' THEN 'releasing'
           WHEN j.doubt_since IS NOT NULL OR (j.act = 'reserve' AND j.plan = 'release') THEN 'in_doubt'
           WHEN j.act = 'capture' THEN 'capturing'
           WHEN j.charge_id IS NOT NULL THEN
               CASE WHEN EXISTS (
                        SELECT FROM debit_attempt d
                         WHERE d.charge_id = c.charge_id AND d.attempt = j.attempts
                           AND NOT EXISTS (SELECT FROM debit_result r
                                            WHERE r.charge_id = c.charge_id AND r.attempt = d.attempt))
                    THEN CASE j.act WHEN 'reserve' THEN 'reserving' ELSE 'debiting' END
                    ELSE 'confirmed' END
           WHEN r.charge_id IS NOT NULL THEN 'reserved'
           WHEN a.charge_id IS NOT NULL THEN 'awaiting'
       END AS state,
       o.reason, o.billing_reference, o.decided_at,
       CASE WHEN c.two_step
            THEN r.charge_id IS NOT NULL
                 OR EXISTS (SELECT FROM reservation_decision x WHERE x.charge_id = c.charge_id)
            ELSE false END AS was_reserved
  FROM charge c
  LEFT JOIN outcome o ON o.charge_id = c.charge_id
  LEFT JOIN debit_job j ON j.charge_id = c.charge_id
  LEFT JOIN reservation r ON r.charge_id = c.charge_id
  LEFT JOIN awaiting a ON a.key = c.msisdn * 1000 + c.address_no AND a.charge_id = c.charge_id;
