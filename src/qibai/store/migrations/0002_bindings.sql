-- What happens to many bindings at once. The functions pin their plans to index look-ups, as a plan made while the
-- tables were empty must not scan them once they are full: no plans but nested loops, the arrays outside (a LIMIT that
-- is not known beforehand makes the planner expect one row of them), no condition on a table but the key's. And the
-- first column's condition is an ANY of one value: an equality there makes a scan of the whole index, filtered, look
-- as cheap as a look-up in it while a partition is empty, for the order that it would come in.

-- Binds. p_* arrays hold a binding each, r_* arrays a route row each (sorted by code, serial, key, so that
-- concurrent calls cannot deadlock), c_* arrays a pair each that must be free although the binding does not
-- occupy it (no real number repeats on X and Y), i_* arrays an idempotency key each (sorted). What occupies a pair
-- is decided by the unique key; the c_* pairs are only looked up, so that two calls at the same instant may let a
-- real number have a role on either side of X and Y: such bindings bend that rule, but no call is ambiguous.
--
-- Returns a row only for what was not bound; `id` is the binding's in the request:
--   outcome 0  the hash keys are not these: other_code is the key to write, other_id the second key, or NULL
--   outcome 1  some pair is taken: nothing of the binding is left
--   outcome 2  the idempotency key was used for (other_code, other_id) by the same request
--   outcome 3  the idempotency key was used by another request
CREATE FUNCTION bind_many(
    now_ timestamptz, quarantine interval, tenant integer, write_key integer, extra_key integer,
    p_code integer[], p_id bigint[], p_mode text[], p_scene text[], p_order text[], p_industrial text[],
    p_province text[], p_x smallint[], p_y smallint[], p_a bytea[], p_b bytea[], p_members text[],
    p_max_call integer[], p_expires timestamptz[],
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
BEGIN
    SELECT * INTO epoch FROM route_epoch();
    IF epoch.write_id <> write_key OR epoch.extra_id IS DISTINCT FROM extra_key THEN
        RETURN QUERY SELECT 0, NULL::bigint, epoch.write_id, epoch.extra_id::bigint;
        RETURN;
    END IF;

    IF cardinality(i_key) > 0 THEN
        INSERT INTO idempotency (tenant_id, key, request, code, binding_id, created_at)
        SELECT tenant, unnest(i_key), unnest(i_request), unnest(i_code), unnest(i_id), now_
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done < cardinality(i_key) THEN
            known := ARRAY(
                SELECT w.id FROM (SELECT tenant AS tenant, unnest(i_key) AS key, unnest(i_code) AS code, unnest(i_id) AS id
                      LIMIT cardinality(i_id)) w
                JOIN idempotency i ON i.tenant_id = w.tenant AND i.key = w.key
                WHERE (i.code, i.binding_id) <> (w.code, w.id));
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
                                 AND r.next_key = w.key AND r.free_at > now_));
        ELSE
            taken := ARRAY(
                SELECT w.id
                FROM (SELECT unnest(c_code) AS code, unnest(c_serial) AS serial, unnest(c_key) AS key,
                             unnest(c_id) AS id LIMIT cardinality(c_id)) w
                WHERE EXISTS (SELECT FROM route r WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial
                                 AND r.caller_key = w.key AND r.free_at > now_));
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
        WHERE r.free_at <= now_;
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
        WHERE r.free_at <= now_;
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

    INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members,
                         max_call_s, created_at, expires_at)
    SELECT w.code, w.id, tenant, w.mode, w.scene, w.order_id, w.industrial, w.province, w.x, w.y, w.a, w.b,
           w.members::bytea[], w.max_call, now_, w.expires
    FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_mode) AS mode, unnest(p_scene) AS scene,
                 unnest(p_order) AS order_id, unnest(p_industrial) AS industrial,
                 unnest(p_province) AS province, unnest(p_x) AS x, unnest(p_y) AS y, unnest(p_a) AS a,
                 unnest(p_b) AS b, unnest(p_members) AS members, unnest(p_max_call) AS max_call,
                 unnest(p_expires) AS expires) w
    WHERE w.id <> ALL (known) AND w.id <> ALL (taken);
END $$;

-- Those of `serials` on which none of `keys` is bound or in quarantine.
CREATE FUNCTION free_serials(now_ timestamptz, code_ integer, keys bytea[], serials smallint[])
RETURNS SETOF smallint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    IF (SELECT phase = 2 FROM hash_rotation) THEN
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.next_key = k AND r.free_at > now_ OFFSET 0);
    ELSE
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.caller_key = k AND r.free_at > now_ OFFSET 0);
    END IF;
END $$;

-- The tenant's bindings among these.
CREATE FUNCTION bindings_by_id(tenant integer, codes integer[], ids bigint[])
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

-- Releases bindings that the caller has read as active: p_* arrays hold one each (p_near: how many dial X), r_*
-- arrays the route rows of all of them, both sorted. All or nothing: false says that the hash keys are not these,
-- the error QB001 that some binding has changed since it was read; read again.
CREATE FUNCTION release_many(
    now_ timestamptz, quarantine interval, tenant integer, write_key integer, extra_key integer,
    p_code integer[], p_id bigint[], p_near integer[],
    r_code integer[], r_serial smallint[], r_key bytea[], r_id bigint[]
) RETURNS boolean
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    epoch record;
    done bigint;
BEGIN
    SELECT * INTO epoch FROM route_epoch();
    IF epoch.write_id <> write_key OR epoch.extra_id IS DISTINCT FROM extra_key THEN
        RETURN false;
    END IF;
    UPDATE binding b SET released_at = now_
    FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_near) AS near
          LIMIT cardinality(p_id)) w
    WHERE b.code = ANY (ARRAY[w.code]) AND b.id = w.id AND b.tenant_id + 0 = tenant AND b.released_at IS NULL
      AND b.expires_at > now_ AND coalesce(cardinality(b.members), 1) = w.near;
    GET DIAGNOSTICS done = ROW_COUNT;
    IF done < cardinality(p_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'QB001', MESSAGE = 'a binding has changed';
    END IF;
    IF epoch.by_next THEN
        UPDATE route r SET ends_at = now_, free_at = now_ + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.next_key = w.key AND r.binding_id = w.id
          AND r.ends_at > now_;
    ELSE
        UPDATE route r SET ends_at = now_, free_at = now_ + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.caller_key = w.key AND r.binding_id = w.id
          AND r.ends_at > now_;
    END IF;
    GET DIAGNOSTICS done = ROW_COUNT;
    IF done < cardinality(r_id) THEN
        RAISE EXCEPTION USING ERRCODE = 'QB001', MESSAGE = 'a binding has changed';
    END IF;
    RETURN true;
END $$;
