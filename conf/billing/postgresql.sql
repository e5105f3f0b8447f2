-- A billing that keeps every promise, as an example for your own: functions that debit once a key,
-- hold, take and let go of money once a key, give back once a key, and one that says what became of
-- a key. The answer, the balance and the record are one transaction, and the primary key is the
-- promise that there is one debit.
-- conf/billing/postgresql.yaml is the configuration for it.
CREATE SCHEMA billing;

CREATE TABLE billing.account (
    msisdn text PRIMARY KEY,
    currency text NOT NULL,
    balance_minor bigint NOT NULL CHECK (balance_minor >= 0),  -- without what is held
    barred boolean NOT NULL DEFAULT false
);

-- What was said to a key, refusals too: whoever asks again hears the same.
CREATE TABLE billing.answer (
    key text PRIMARY KEY,
    msisdn text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    -- What is held is «reserved», and becomes «debited» or «released».
    result text NOT NULL
        CHECK (result IN ('debited', 'refunded', 'refused', 'reserved', 'released')),
    reason text,
    reference text,
    debit_key text REFERENCES billing.answer,  -- of a refund: the debit that it gives back
    answered_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX answer_debit ON billing.answer (debit_key);

-- Below zero: given back.
CREATE TABLE billing.movement (
    movement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL REFERENCES billing.answer,
    msisdn text NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL
);

-- Takes the money, or holds it, once a key.
CREATE FUNCTION billing.settle(
    a_key text, a_msisdn text, a_minor bigint, a_currency text, a_result text,
    OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
) LANGUAGE plpgsql AS $$
DECLARE
    said billing.answer;
    payer billing.account;
BEGIN
    -- Two requests with one key: the second waits here for the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(a_key, 0));
    SELECT * INTO said FROM billing.answer WHERE key = a_key;
    IF NOT FOUND THEN
        SELECT * INTO payer FROM billing.account WHERE msisdn = a_msisdn FOR UPDATE;
        reason := CASE
            WHEN NOT FOUND THEN 'no_subscriber'
            WHEN payer.barred THEN 'barred'
            WHEN payer.currency <> a_currency THEN 'currency'
            WHEN payer.balance_minor < a_minor THEN 'no_funds'
        END;
        INSERT INTO billing.answer (key, msisdn, amount_minor, currency, result, reason)
        VALUES (a_key, a_msisdn, a_minor, a_currency,
                CASE WHEN reason IS NULL THEN a_result ELSE 'refused' END, reason)
        RETURNING * INTO said;
        IF reason IS NULL THEN
            UPDATE billing.account SET balance_minor = balance_minor - a_minor
             WHERE msisdn = a_msisdn;
            UPDATE billing.answer a
               SET reference = CASE a_result WHEN 'reserved' THEN 'H-' || a_key
                                             ELSE billing.moved(a_key) END
             WHERE a.key = a_key
            RETURNING * INTO said;
        END IF;
    END IF;
    IF (said.msisdn, said.amount_minor, said.currency) <> (a_msisdn, a_minor, a_currency) THEN
        result := 'conflict';  -- the key means another debit: not listed, so it is unknown
        RETURN;
    END IF;
    result := said.result;
    reason := said.reason;
    reference := said.reference;
    amount_minor := said.amount_minor;
END $$;

-- The record of what was taken under a key; its reference.
CREATE FUNCTION billing.moved(a_key text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO billing.movement (key, msisdn, amount_minor, currency)
    SELECT key, msisdn, amount_minor, currency FROM billing.answer WHERE key = a_key
    RETURNING 'M' || movement_id
$$;

CREATE FUNCTION billing.debit(
    a_key text, a_msisdn text, a_minor bigint, a_currency text,
    OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
) LANGUAGE sql
AS $$ SELECT * FROM billing.settle(a_key, a_msisdn, a_minor, a_currency, 'debited') $$;

CREATE FUNCTION billing.reserve(
    a_key text, a_msisdn text, a_minor bigint, a_currency text,
    OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
) LANGUAGE sql
AS $$ SELECT * FROM billing.settle(a_key, a_msisdn, a_minor, a_currency, 'reserved') $$;

-- Takes what is held under the key; of anything else it says what became of it.
CREATE FUNCTION billing.capture(
    a_key text, OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(a_key, 0));
    UPDATE billing.answer a SET result = 'debited', reference = billing.moved(a_key)
     WHERE a.key = a_key AND a.result = 'reserved';
    SELECT f.* INTO result, reason, reference, amount_minor FROM billing.find(a_key) f;
    result := coalesce(result, 'not_found');
END $$;

-- Lets go of what is held under the key. Where nothing is yet, nothing will be: a reserve that
-- comes after it finds the key used up.
CREATE FUNCTION billing.release(
    a_key text, a_msisdn text, a_minor bigint, a_currency text, OUT result text
) LANGUAGE plpgsql AS $$
DECLARE
    held billing.answer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(a_key, 0));
    UPDATE billing.answer a SET result = 'released'
     WHERE a.key = a_key AND a.result = 'reserved'
    RETURNING * INTO held;
    UPDATE billing.account SET balance_minor = balance_minor + held.amount_minor
     WHERE msisdn = held.msisdn;
    INSERT INTO billing.answer (key, msisdn, amount_minor, currency, result)
    VALUES (a_key, a_msisdn, a_minor, a_currency, 'released')
        ON CONFLICT DO NOTHING;
    -- A reserve that was refused holds nothing either; what was taken is taken.
    SELECT CASE a.result WHEN 'debited' THEN 'debited' ELSE 'released' END INTO result
      FROM billing.answer a WHERE a.key = a_key;
END $$;

CREATE FUNCTION billing.refund(
    a_key text, a_debit_key text, a_msisdn text, a_minor bigint, a_currency text,
    OUT result text, OUT reason text, OUT reference text, OUT amount_minor bigint
) LANGUAGE plpgsql AS $$
DECLARE
    said billing.answer;
    debit billing.answer;
BEGIN
    -- Two refunds of one debit: the second waits here for the first.
    PERFORM pg_advisory_xact_lock(hashtextextended(a_debit_key, 0));
    SELECT * INTO said FROM billing.answer WHERE key = a_key;
    IF NOT FOUND THEN
        SELECT a.* INTO debit FROM billing.answer a
         WHERE a.key = a_debit_key AND a.result = 'debited' AND a.msisdn = a_msisdn
           AND a.currency = a_currency;
        reason := CASE
            WHEN NOT FOUND THEN 'no_such_debit'
            WHEN (SELECT barred FROM billing.account WHERE msisdn = a_msisdn) THEN 'barred'
            WHEN NOT EXISTS (SELECT FROM billing.account WHERE msisdn = a_msisdn)
                THEN 'no_subscriber'
            WHEN a_minor + (SELECT coalesce(sum(a.amount_minor), 0) FROM billing.answer a
                             WHERE a.debit_key = a_debit_key AND a.result = 'refunded')
                 > debit.amount_minor THEN 'too_much'
        END;
        INSERT INTO billing.answer (key, msisdn, amount_minor, currency, result, reason, debit_key)
        VALUES (a_key, a_msisdn, a_minor, a_currency,
                CASE WHEN reason IS NULL THEN 'refunded' ELSE 'refused' END, reason, debit.key)
        RETURNING * INTO said;
        IF reason IS NULL THEN
            UPDATE billing.account SET balance_minor = balance_minor + a_minor
             WHERE msisdn = a_msisdn;
            INSERT INTO billing.movement (key, msisdn, amount_minor, currency)
            VALUES (a_key, a_msisdn, -a_minor, a_currency)
            RETURNING 'M' || movement_id INTO reference;
            UPDATE billing.answer a SET reference = refund.reference WHERE a.key = a_key
            RETURNING * INTO said;
        END IF;
    END IF;
    IF (said.msisdn, said.amount_minor, said.currency) <> (a_msisdn, a_minor, a_currency) THEN
        result := 'conflict';
        RETURN;
    END IF;
    result := said.result;
    reason := said.reason;
    reference := said.reference;
    amount_minor := said.amount_minor;
END $$;

CREATE FUNCTION billing.find(a_key text)
RETURNS TABLE (result text, reason text, reference text, amount_minor bigint) LANGUAGE sql STABLE
AS 'SELECT result, reason, reference, amount_minor FROM billing.answer WHERE key = a_key';
