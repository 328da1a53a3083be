-- Counts the version of rights up. Binds hold this lock shared until they commit; a change of rights holds it alone.
-- So a bind that began before the change commits before it, and a bind that begins later sees the new version.
CREATE OR REPLACE FUNCTION standing_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7004);
    UPDATE standing SET version = version + 1;
    RETURN NULL;
END $$;

-- Returns the version of rights. It stays the same until the transaction ends.
CREATE OR REPLACE FUNCTION standing_now() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    RETURN (SELECT version FROM standing);
END $$;

-- A bind calls this first. No change of rights commits before the bind does. Raises QB002 if rights have changed
-- since version `known` was read, or if the clock has reached `until`: from then on the same rights mean something
-- else (NULL: they never do). Returns the tenant, so that the call can stand in the place of the tenant.
CREATE OR REPLACE FUNCTION standing_gate(tenant integer, known bigint, until timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    IF (SELECT version FROM standing) <> known OR clock_timestamp() >= until THEN
        RAISE EXCEPTION USING ERRCODE = 'QB002', MESSAGE = 'standing is older';
    END IF;
    RETURN tenant;
END $$;

-- A release waits for a quota that is being set, and a quota waits for releases. Returns the tenant.
CREATE OR REPLACE FUNCTION release_gate(tenant integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    RETURN tenant;
END $$;
