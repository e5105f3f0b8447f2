-- Statements and reconciliation ask for what was decided in a period, however old the charge. Charges end about in the
-- order of their time, so a block range index finds them and costs the inserts next to nothing.
CREATE INDEX outcome_decided ON outcome USING brin (decided_at) WITH (autosummarize = on, pages_per_range = 32);
