-- A person may decide twice about one charge of two steps: that nothing was taken, so that what is held is let go, and
-- what became of that, where billing does not say it.
--
-- Safe beside nodes of the previous release: they write one each.
ALTER TABLE debit_resolution DROP CONSTRAINT debit_resolution_pkey;
ALTER TABLE debit_resolution ADD PRIMARY KEY (charge_id, resolved_at);
