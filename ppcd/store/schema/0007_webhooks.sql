-- Webhooks: each attempt is one node's alone, no partner waits for another, and people tell again what was not taken.
--
-- Safe beside nodes of the previous release: they leave the new columns alone and claim as they did, without the help
-- of an index of their own. What they begin is not marked, so until all nodes are of this release an event may be
-- posted twice at the same moment, as it always might.

-- A node that posts an event holds it until then: nobody else posts it meanwhile.
ALTER TABLE webhook_job ADD COLUMN busy_until timestamptz;
-- Where a person had it told again. NULL: where its notification says.
ALTER TABLE webhook_job ADD COLUMN url text;
-- The mark is set on rows that end soon after: room for it beside them spares the indexes.
ALTER TABLE webhook_job SET (fillfactor = 85);

-- What is due is looked for partner by partner, so that one's backlog hides nobody else's.
CREATE INDEX webhook_job_due ON webhook_job (partner_id, run_at) WHERE dead_since IS NULL;
DROP INDEX webhook_job_run;
CREATE INDEX webhook_job_dead ON webhook_job (dead_since) WHERE dead_since IS NOT NULL;

-- The secret before the newest signs until then as well. NULL: until the next one.
ALTER TABLE partner ADD COLUMN webhook_secret_before_until timestamptz;

-- A person had an event told again, after so many attempts.
CREATE TABLE webhook_replay (
    charge_id bigint NOT NULL,
    sequence bigint NOT NULL,
    after_attempt bigint NOT NULL,
    url text NOT NULL,
    person text NOT NULL CHECK (length(person) BETWEEN 1 AND 200),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    replayed_at timestamptz NOT NULL,
    PRIMARY KEY (charge_id, sequence, after_attempt)
) PARTITION BY RANGE (charge_id);

CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON webhook_replay
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();

-- An event may be older than the months that are made from now on: take over those of the deliveries.
DO $$
DECLARE
    part record;
    name text;
BEGIN
    FOR part IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = to_regclass('delivery')
    LOOP
        name := replace(part.relname, 'delivery_', 'webhook_replay_');
        EXECUTE format('CREATE TABLE %I PARTITION OF webhook_replay %s', name, part.bounds);
    END LOOP;
END $$;
