-- A node that was killed knows at its restart which events it was telling, and goes on at once.
--
-- Safe beside nodes of the previous release: they leave the new column alone. What they begin waits for its lease, as
-- it did; of what they take over from another node the mark is wrong, and that node, restarted, may tell an event at
-- the same moment, as it always might.

-- The node that has claimed the event or posts it. NULL: nobody has, or it was put off.
ALTER TABLE webhook_job ADD COLUMN leased_by text;
