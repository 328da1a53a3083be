-- Binds many items at once. p_* arrays hold one binding each. r_* arrays hold one route row each, sorted by code,
-- serial and key, so that concurrent calls cannot deadlock. c_* arrays hold pairs that must be free although the
-- binding does not occupy them (no real number has a role on both sides of X and Y). i_* arrays hold one idempotency
-- key each, sorted.
--
-- The unique key of `route` decides who has a pair. A route is taken over if its quarantine is over by the clock,
-- read when its row is held. The c_* pairs are only looked up: two calls at the same instant can both pass. Their
-- bindings bend the rule about real numbers, but no call is ambiguous.
--
-- Returns a row for each binding that was not made, by its `id` in the request, and a last row
-- (store.bindings.outcome):
--   outcome 0  other hash keys are in use: other_code is the id of the key to write, other_id of the second one, or NULL
--   outcome 1  some pair is taken: nothing is left of the binding
--   outcome 2  the same request has used the idempotency key before, for the binding (other_code, other_id)
--   outcome 3  another request has used the idempotency key before
--   outcome 4  the last row: other_id is the time at which the others were bound, in microseconds since 1970
--
-- The SETs pin the plan to index look-ups: a plan that was made while the tables were empty must not scan them when
-- they are full. For the same reason arrays are the outer side of each join (a LIMIT whose value the planner does not
-- know makes it expect one row), and tables have no condition but the key's. The first column is compared with ANY of
-- one value: with an equality, a filtered scan of the whole index would look as cheap as a look-up while a partition
-- is empty, because its rows come in order. The other functions with SETs have them for this reason, too.
CREATE OR REPLACE FUNCTION bind_many(
    now_ timestamptz, quarantine interval, tenant integer, write_key integer, extra_key integer,
    p_code integer[], p_id bigint[], p_mode text[], p_scene text[], p_order text[], p_industrial text[],
    p_province text[], p_x smallint[], p_y smallint[], p_a bytea[], p_b bytea[], p_members text[],
    p_max_call integer[], p_messages text[], p_expires timestamptz[],
    r_code integer[], r_serial smallint[], r_key bytea[], r_next bytea[], r_id bigint[], r_shown smallint[],
    r_flags smallint[], r_max_call integer[], r_expires timestamptz[], r_callee bytea[], r_caller bytea[],
    c_code integer[], c_serial smallint[], c_key bytea[], c_id bigint[],
    i_key bytea[], i_request bytea[], i_code integer[], i_id bigint[]
) RETURNS TABLE (outcome integer, id bigint, other_code integer, other_id bigint)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    epoch record;
    known bigint[] := '{}';   -- answered by an earlier request
    taken bigint[] := '{}';
    done bigint;
    moment timestamptz;
BEGIN
    SELECT * INTO epoch FROM route_epoch();
    IF epoch.write_id <> write_key OR epoch.extra_id IS DISTINCT FROM extra_key THEN
        RETURN QUERY SELECT 0, NULL::bigint, epoch.write_id, epoch.extra_id::bigint;
        RETURN;
    END IF;

    IF cardinality(i_key) > 0 THEN
        INSERT INTO idempotency (tenant_id, key, request, code, binding_id, created_at)
        SELECT tenant, unnest(i_key), unnest(i_request), unnest(i_code), unnest(i_id),
               coalesce(now_, clock_timestamp())
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done < cardinality(i_key) THEN
            known := ARRAY(
                SELECT w.id FROM (SELECT tenant AS tenant, unnest(i_key) AS key, unnest(i_code) AS code, unnest(i_id) AS id
                      LIMIT cardinality(i_id)) w
                JOIN idempotency i ON i.tenant_id = w.tenant AND i.key = w.key
                WHERE (i.code, i.binding_id) <> (w.code, w.id));
            IF done + cardinality(known) < cardinality(i_key) THEN  -- the sweep took a note away meanwhile
                RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'an idempotency key is gone';
            END IF;
            RETURN QUERY
                SELECT CASE WHEN i.request = w.request THEN 2 ELSE 3 END, w.id, i.code, i.binding_id
                FROM (SELECT tenant AS tenant, unnest(i_key) AS key, unnest(i_request) AS request, unnest(i_id) AS id
                      LIMIT cardinality(i_id)) w
                JOIN idempotency i ON i.tenant_id = w.tenant AND i.key = w.key
                WHERE w.id = ANY (known);
        END IF;
    END IF;

    IF cardinality(c_id) > 0 THEN
        IF epoch.by_next THEN
            taken := ARRAY(
                SELECT w.id
                FROM (SELECT unnest(c_code) AS code, unnest(c_serial) AS serial, unnest(c_key) AS key,
                             unnest(c_id) AS id LIMIT cardinality(c_id)) w
                WHERE EXISTS (SELECT FROM route r WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial
                                 AND r.next_key = w.key AND r.free_at > coalesce(now_, clock_timestamp())));
        ELSE
            taken := ARRAY(
                SELECT w.id
                FROM (SELECT unnest(c_code) AS code, unnest(c_serial) AS serial, unnest(c_key) AS key,
                             unnest(c_id) AS id LIMIT cardinality(c_id)) w
                WHERE EXISTS (SELECT FROM route r WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial
                                 AND r.caller_key = w.key AND r.free_at > coalesce(now_, clock_timestamp())));
        END IF;
    END IF;

    IF epoch.by_next THEN
        INSERT INTO route AS r (code, serial, caller_key, next_key, binding_id, tenant_id, shown, flags,
                                max_call_s, ends_at, free_at, callee, caller)
        SELECT w.code, w.serial, w.key, w.next, w.id, tenant, w.shown, w.flags, w.max_call, w.expires,
               w.expires + quarantine, w.callee, w.caller
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_next) AS next, unnest(r_id) AS id, unnest(r_shown) AS shown,
                     unnest(r_flags) AS flags, unnest(r_max_call) AS max_call, unnest(r_expires) AS expires,
                     unnest(r_callee) AS callee, unnest(r_caller) AS caller) w
        WHERE w.id <> ALL (known) AND w.id <> ALL (taken)
        ON CONFLICT (code, serial, next_key) WHERE next_key IS NOT NULL DO UPDATE
        SET caller_key = excluded.caller_key, next_key = excluded.next_key, binding_id = excluded.binding_id,
            tenant_id = excluded.tenant_id, shown = excluded.shown, flags = excluded.flags,
            max_call_s = excluded.max_call_s, ends_at = excluded.ends_at, free_at = excluded.free_at,
            callee = excluded.callee, caller = excluded.caller
        WHERE r.free_at <= coalesce(now_, clock_timestamp());
    ELSE
        INSERT INTO route AS r (code, serial, caller_key, next_key, binding_id, tenant_id, shown, flags,
                                max_call_s, ends_at, free_at, callee, caller)
        SELECT w.code, w.serial, w.key, w.next, w.id, tenant, w.shown, w.flags, w.max_call, w.expires,
               w.expires + quarantine, w.callee, w.caller
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_next) AS next, unnest(r_id) AS id, unnest(r_shown) AS shown,
                     unnest(r_flags) AS flags, unnest(r_max_call) AS max_call, unnest(r_expires) AS expires,
                     unnest(r_callee) AS callee, unnest(r_caller) AS caller) w
        WHERE w.id <> ALL (known) AND w.id <> ALL (taken)
        ON CONFLICT (code, serial, caller_key) DO UPDATE
        SET next_key = excluded.next_key, binding_id = excluded.binding_id,
            tenant_id = excluded.tenant_id, shown = excluded.shown, flags = excluded.flags,
            max_call_s = excluded.max_call_s, ends_at = excluded.ends_at, free_at = excluded.free_at,
            callee = excluded.callee, caller = excluded.caller
        WHERE r.free_at <= coalesce(now_, clock_timestamp());
    END IF;
    GET DIAGNOSTICS done = ROW_COUNT;

    IF done < cardinality(r_id) THEN
        -- whose rows are not all there: whoever of them got some gives these back
        taken := ARRAY(
            SELECT DISTINCT w.id
            FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                         unnest(r_id) AS id LIMIT cardinality(r_id)) w
            WHERE w.id <> ALL (known)
              AND NOT EXISTS (SELECT FROM route r WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial
                                 AND r.caller_key = w.key AND r.binding_id = w.id));
        DELETE FROM route r
        USING (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                      unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE w.id = ANY (taken) AND r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.caller_key = w.key
          AND r.binding_id = w.id;
        DELETE FROM idempotency i
        USING (SELECT tenant AS tenant, unnest(i_key) AS key, unnest(i_id) AS id LIMIT cardinality(i_id)) w
        WHERE w.id = ANY (taken) AND i.tenant_id = w.tenant AND i.key = w.key;
        RETURN QUERY SELECT 1, t, NULL::integer, NULL::bigint FROM unnest(taken) t;
    END IF;

    moment := coalesce(now_, clock_timestamp());
    INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members,
                         max_call_s, messages, created_at, expires_at)
    SELECT w.code, w.id, tenant, w.mode, w.scene, w.order_id, w.industrial, w.province, w.x, w.y, w.a, w.b,
           w.members::bytea[], w.max_call, w.messages, moment, w.expires
    FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_mode) AS mode, unnest(p_scene) AS scene,
                 unnest(p_order) AS order_id, unnest(p_industrial) AS industrial,
                 unnest(p_province) AS province, unnest(p_x) AS x, unnest(p_y) AS y, unnest(p_a) AS a,
                 unnest(p_b) AS b, unnest(p_members) AS members, unnest(p_max_call) AS max_call,
                 unnest(p_messages) AS messages,
                 unnest(p_expires) AS expires) w
    WHERE w.id <> ALL (known) AND w.id <> ALL (taken);
    RETURN QUERY SELECT 4, NULL::bigint, NULL::integer, (extract(epoch FROM moment) * 1000000)::bigint;
END $$;
