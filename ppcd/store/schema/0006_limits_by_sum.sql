-- Limits by sum: what a subscriber, and what a partner's charges, may be debited in a day and in a month.
--
-- Safe beside nodes of the previous release: they count nothing and give nothing back, so set limits when all nodes
-- are of this one.

-- A subscriber's sum is counted from facts. Its open debits are found here; no row of this index is written before
-- a debit is begun, so confirmations don't pay for it.
CREATE INDEX debit_job_begun ON debit_job (msisdn) WHERE attempts > 0;

-- A partner's facts are too many to be counted for each debit. The operator's day, as a date of its time zone.
CREATE TABLE partner_taken (
    partner_id bigint NOT NULL REFERENCES partner,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    day date NOT NULL,
    taken_minor bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (partner_id, currency, day)
) WITH (fillfactor = 50);

-- The day in `partner_taken` that this debit was counted on; NULL: its partner had no limit.
ALTER TABLE debit_job ADD COLUMN counted_on date;

-- One partner's own limits. NULL: the configuration's.
CREATE TABLE partner_limit (
    partner_id bigint NOT NULL REFERENCES partner,
    currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    charge_minor bigint CHECK (charge_minor > 0),
    day_minor bigint CHECK (day_minor > 0),
    month_minor bigint CHECK (month_minor > 0),
    PRIMARY KEY (partner_id, currency)
);

ALTER TABLE checkout_session DROP CONSTRAINT checkout_session_try_refused_check;
ALTER TABLE checkout_session ADD CONSTRAINT checkout_session_try_refused_check
    CHECK (try_refused IN ('no_free_address', 'not_served', 'reference_taken', 'over_limit'));
