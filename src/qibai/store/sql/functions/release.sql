-- Releases bindings that the caller has just read. p_* arrays hold one binding each: its sealed parties as they were
-- read, and how many of them dial X. r_* arrays hold the route rows of all of them. Both are sorted. All or nothing:
-- raises QB001 if a binding has other parties than were read, and the caller reads again. Rows
-- (store.bindings.outcome):
--   outcome 0  other hash keys are in use: code_ is the id of the key to write, id_ of the second one, or NULL; nothing is done
--   outcome 1  the time at which all bindings were released, except those of the rows that follow
--   outcome 2  the binding had been released before, at this time
--   outcome 3  the binding had expired, at this time
-- `ends_at` becomes 'epoch', which is before every clock: a clock that is set back must not revive a released
-- binding.
CREATE OR REPLACE FUNCTION release_many(
    now_ timestamptz, quarantine interval, tenant integer, write_key integer, extra_key integer,
    p_code integer[], p_id bigint[], p_near integer[], p_a bytea[], p_b bytea[], p_members text[],
    r_code integer[], r_serial smallint[], r_key bytea[], r_id bigint[]
) RETURNS TABLE (outcome integer, code_ integer, id_ bigint, at timestamptz)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    epoch record;
    moment timestamptz;
    over bigint;
    done bigint;
    pairs bigint;
    touched bigint;
    scenes text[];
    provinces text[];
    ends timestamptz[];
BEGIN
    SELECT * INTO epoch FROM route_epoch();
    IF epoch.write_id <> write_key OR epoch.extra_id IS DISTINCT FROM extra_key THEN
        RETURN QUERY SELECT 0, epoch.write_id, epoch.extra_id::bigint, NULL::timestamptz;
        RETURN;
    END IF;
    PERFORM FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id LIMIT cardinality(p_id)) w
            JOIN binding b ON b.code = ANY (ARRAY[w.code]) AND b.id = w.id
            FOR UPDATE OF b;
    moment := coalesce(now_, clock_timestamp());
    RETURN QUERY SELECT 1, NULL::integer, NULL::bigint, moment;
    RETURN QUERY
        SELECT CASE WHEN b.released_at IS NULL THEN 3 ELSE 2 END, b.code, b.id, coalesce(b.released_at, b.expires_at)
        FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id LIMIT cardinality(p_id)) w
        JOIN binding b ON b.code = ANY (ARRAY[w.code]) AND b.id = w.id
        WHERE b.tenant_id + 0 = tenant AND (b.released_at IS NOT NULL OR b.expires_at <= moment);
    GET DIAGNOSTICS over = ROW_COUNT;
    WITH ended AS (
        UPDATE binding b SET released_at = moment
        FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_near) AS near, unnest(p_a) AS a,
                     unnest(p_b) AS b, unnest(p_members) AS members LIMIT cardinality(p_id)) w
        WHERE b.code = ANY (ARRAY[w.code]) AND b.id = w.id AND b.tenant_id + 0 = tenant AND b.released_at IS NULL
          AND b.expires_at > moment AND b.b = w.b AND b.a IS NOT DISTINCT FROM w.a
          AND b.members IS NOT DISTINCT FROM w.members::bytea[]
        RETURNING w.near, b.scene, b.province, b.expires_at)
    SELECT count(*), coalesce(sum(e.near) + count(*), 0), array_agg(e.scene), array_agg(e.province),
           array_agg(e.expires_at)
      INTO done, pairs, scenes, provinces, ends FROM ended e;
    IF over + done < cardinality(p_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'QB001', MESSAGE = 'a binding has changed';
    END IF;
    IF done = 0 THEN
        RETURN;
    END IF;
    IF epoch.by_next THEN
        UPDATE route r SET ends_at = 'epoch', free_at = moment + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.next_key = w.key AND r.binding_id = w.id
          AND r.ends_at > moment;
    ELSE
        UPDATE route r SET ends_at = 'epoch', free_at = moment + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.caller_key = w.key AND r.binding_id = w.id
          AND r.ends_at > moment;
    END IF;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched < pairs THEN  -- a row is missing, or stands under another key: look at all rows of the numbers
        UPDATE route r SET ends_at = 'epoch', free_at = moment + quarantine
        FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id LIMIT cardinality(p_id)) w
        JOIN binding b ON b.code = ANY (ARRAY[w.code]) AND b.id = w.id
        WHERE r.code = ANY (ARRAY[b.code]) AND r.serial IN (b.x, b.y) AND r.binding_id = b.id
          AND b.tenant_id + 0 = tenant AND r.ends_at > moment;
    END IF;
    IF EXISTS (SELECT FROM quota WHERE tenant_id = tenant) THEN
        PERFORM quota_give(tenant, scenes, provinces, ends);
    END IF;
END $$;
