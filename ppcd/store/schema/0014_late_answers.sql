-- Answers of billing that come after their attempt was given up are facts too, as attempts of a kind of their own.
--
-- Safe beside nodes of the previous release: an attempt of this kind has its result from the beginning, and ends its
-- job in the same commit. Wider than before, so that what is there need not be looked at.
ALTER TABLE debit_attempt DROP CONSTRAINT debit_attempt_kind_check;
ALTER TABLE debit_attempt ADD CONSTRAINT debit_attempt_kind_check
    CHECK (kind IN ('debit', 'reserve', 'capture', 'release', 'query', 'late answer')) NOT VALID;
ALTER TABLE refund_attempt DROP CONSTRAINT refund_attempt_kind_check;
ALTER TABLE refund_attempt ADD CONSTRAINT refund_attempt_kind_check
    CHECK (kind IN ('refund', 'query', 'late answer')) NOT VALID;
