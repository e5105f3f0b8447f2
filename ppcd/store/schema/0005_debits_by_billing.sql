-- Each billing system has a queue of its own: one that is away for hours, with a million jobs behind it, must not stand
-- before the others' jobs.
CREATE INDEX debit_job_due ON debit_job (billing, run_at) WHERE review_since IS NULL;
DROP INDEX debit_job_run;
