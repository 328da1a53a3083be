-- Returns those of these bindings that belong to the tenant.
CREATE OR REPLACE FUNCTION bindings_by_id(tenant integer, codes integer[], ids bigint[])
RETURNS SETOF binding
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY SELECT b.*
        FROM (SELECT unnest(codes) AS code, unnest(ids) AS id LIMIT cardinality(ids)) w
        JOIN binding b ON b.code = ANY (ARRAY[w.code]) AND b.id = w.id
        WHERE b.tenant_id + 0 = tenant;
END $$;

-- Holds the route rows of a binding whose own row is held already. Returns how many rows there are and the time then;
-- whoever changes the binding decides by this time.
CREATE OR REPLACE FUNCTION binding_moment(
    now_ timestamptz, code_ integer, id_ bigint, serials smallint[], keys bytea[], by_next boolean,
    OUT pairs bigint, OUT moment timestamptz
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    IF by_next THEN
        PERFORM FROM (SELECT unnest(serials) AS serial, unnest(keys) AS key LIMIT cardinality(keys)) w
                JOIN route r ON r.code = ANY (ARRAY[code_]) AND r.serial = w.serial AND r.next_key = w.key
                WHERE r.binding_id = id_ FOR UPDATE OF r;
    ELSE
        PERFORM FROM (SELECT unnest(serials) AS serial, unnest(keys) AS key LIMIT cardinality(keys)) w
                JOIN route r ON r.code = ANY (ARRAY[code_]) AND r.serial = w.serial AND r.caller_key = w.key
                WHERE r.binding_id = id_ FOR UPDATE OF r;
    END IF;
    GET DIAGNOSTICS pairs = ROW_COUNT;
    moment := coalesce(now_, clock_timestamp());
END $$;
