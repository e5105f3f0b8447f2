-- What people decided about debits that no machine could settle: who, why, and what it was.

CREATE TABLE debit_resolution (
    charge_id bigint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('succeeded', 'denied')),
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 500),
    reference text CHECK (state = 'succeeded' OR reference IS NULL),
    person text NOT NULL CHECK (length(person) BETWEEN 1 AND 200),
    resolved_at timestamptz NOT NULL
) PARTITION BY RANGE (charge_id);

CREATE TRIGGER facts_do_not_change BEFORE UPDATE OR DELETE ON debit_resolution
    FOR EACH ROW EXECUTE FUNCTION facts_do_not_change();

-- A doubt may be older than the months that are made from now on: take over those of the attempts.
DO $$
DECLARE
    part record;
    name text;
BEGIN
    FOR part IN
        SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = to_regclass('debit_attempt')
    LOOP
        name := replace(part.relname, 'debit_attempt_', 'debit_resolution_');
        EXECUTE format('CREATE TABLE %I PARTITION OF debit_resolution %s', name, part.bounds);
    END LOOP;
END $$;
