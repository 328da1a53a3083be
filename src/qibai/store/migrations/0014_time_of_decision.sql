-- The time that decides over a row is read after the row is held, from the database's clock: every function here
-- reads clock_timestamp() behind its locks. `now_` is another time to decide by, for tests; NULL: the clock's.

-- As before (see 0002 and 0013), with one more row at the end:
--   outcome 4  other_id is when the others were bound, in microseconds since 1970
-- A route is taken over once its quarantine is over by the clock at the moment when its row is held.
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

-- As before (see 0002).
CREATE OR REPLACE FUNCTION free_serials(now_ timestamptz, code_ integer, keys bytea[], serials smallint[])
RETURNS SETOF smallint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    moment timestamptz := coalesce(now_, clock_timestamp());
BEGIN
    IF (SELECT phase = 2 FROM hash_rotation) THEN
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.next_key = k AND r.free_at > moment OFFSET 0);
    ELSE
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.caller_key = k AND r.free_at > moment OFFSET 0);
    END IF;
END $$;

-- Releases bindings that the caller has read just now: p_* arrays hold one each (its sealed parties as they were
-- read, and how many of them dial X), r_* arrays the route rows of all of them, both sorted. All or nothing: the error
-- QB001 says that some binding has other parties than were read; read again. Rows:
--   outcome 0  the hash keys are not these: code_ is the key to write, id_ the second key, or NULL; nothing is done
--   outcome 1  the time at which all were released but those of the rows that follow
--   outcome 2  the binding had been released before, at this time
--   outcome 3  the binding had expired, at this time
DROP FUNCTION release_many(
    timestamptz, interval, integer, integer, integer, integer[], bigint[], integer[], integer[], smallint[], bytea[],
    bigint[]
);
CREATE FUNCTION release_many(
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
        UPDATE route r SET ends_at = moment, free_at = moment + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.next_key = w.key AND r.binding_id = w.id
          AND r.ends_at > moment;
    ELSE
        UPDATE route r SET ends_at = moment, free_at = moment + quarantine
        FROM (SELECT unnest(r_code) AS code, unnest(r_serial) AS serial, unnest(r_key) AS key,
                     unnest(r_id) AS id LIMIT cardinality(r_id)) w
        WHERE r.code = ANY (ARRAY[w.code]) AND r.serial = w.serial AND r.caller_key = w.key AND r.binding_id = w.id
          AND r.ends_at > moment;
    END IF;
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched < pairs THEN  -- a row is missing, or stands under another key: look at all rows of the numbers
        UPDATE route r SET ends_at = moment, free_at = moment + quarantine
        FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id LIMIT cardinality(p_id)) w
        JOIN binding b ON b.code = ANY (ARRAY[w.code]) AND b.id = w.id
        WHERE r.code = ANY (ARRAY[b.code]) AND r.serial IN (b.x, b.y) AND r.binding_id = b.id
          AND b.tenant_id + 0 = tenant AND r.ends_at > moment;
    END IF;
    IF EXISTS (SELECT FROM quota WHERE tenant_id = tenant) THEN
        PERFORM quota_give(tenant, scenes, provinces, ends);
    END IF;
END $$;
DROP FUNCTION quota_released(integer, integer[], bigint[], boolean);

-- Holds the route rows of a binding whose own row is held; how many there are, and the time then. Whoever changes the
-- binding decides by that time.
CREATE FUNCTION binding_moment(
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

-- As before (see 0004): what has ended counts no more by the clock at the moment when the quota is held.
CREATE OR REPLACE FUNCTION quota_take(
    tenant integer, now_ timestamptz, scenes text[], provinces_ text[], ends timestamptz[]
) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    q record;
    live bigint;
    gone bigint;
    wanted bigint;
    moment timestamptz;
BEGIN
    FOR q IN SELECT id, scene, province, most FROM quota WHERE tenant_id = tenant ORDER BY id LOOP
        SELECT used INTO STRICT live FROM quota_count WHERE quota_id = q.id FOR UPDATE;
        moment := coalesce(now_, clock_timestamp());
        WITH past AS (DELETE FROM quota_end WHERE quota_id = q.id AND minute <= moment RETURNING count)
        SELECT coalesce(sum(count), 0) INTO gone FROM past;
        SELECT count(*) INTO wanted FROM unnest(scenes, provinces_) AS w (scene, province)
         WHERE (q.scene IS NULL OR q.scene = w.scene) AND (q.province IS NULL OR q.province = w.province);
        IF live - gone + wanted > q.most THEN
            RAISE EXCEPTION USING ERRCODE = 'QB003', MESSAGE = 'quota exceeded',
                DETAIL = format('%s|%s|%s', q.scene, q.province, greatest(q.most - live + gone, 0));
        END IF;
        INSERT INTO quota_end AS e (quota_id, minute, count)
        SELECT q.id, quota_minute(w.ends), count(*) FROM unnest(scenes, provinces_, ends) AS w (scene, province, ends)
         WHERE (q.scene IS NULL OR q.scene = w.scene) AND (q.province IS NULL OR q.province = w.province)
         GROUP BY 2 ORDER BY 2
        ON CONFLICT (quota_id, minute) DO UPDATE SET count = e.count + excluded.count;
        UPDATE quota_count SET used = used - gone + wanted WHERE quota_id = q.id;
    END LOOP;
    RETURN tenant;
END $$;

-- As before (see 0004): what is live is counted by the clock once no bind, release or change of the tenant runs.
CREATE OR REPLACE FUNCTION set_quota(
    tenant integer, now_ timestamptz, scene_ text, province_ text, most_ bigint
) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    key integer;
    live bigint;
    moment timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(7004);
    moment := coalesce(now_, clock_timestamp());
    INSERT INTO quota (tenant_id, scene, province, most) VALUES (tenant, scene_, province_, most_)
    ON CONFLICT ON CONSTRAINT quota_key DO UPDATE SET most = excluded.most
    RETURNING id INTO key;
    DELETE FROM quota_end WHERE quota_id = key;
    INSERT INTO quota_end (quota_id, minute, count)
    SELECT key, quota_minute(expires_at), count(*) FROM binding
     WHERE tenant_id = tenant AND released_at IS NULL AND expires_at > moment
       AND (scene_ IS NULL OR scene = scene_) AND (province_ IS NULL OR province = province_)
     GROUP BY 2;
    SELECT coalesce(sum(count), 0) INTO live FROM quota_end WHERE quota_id = key;
    INSERT INTO quota_count (quota_id, used) VALUES (key, live)
    ON CONFLICT (quota_id) DO UPDATE SET used = excluded.used;
    RETURN live;
END $$;

-- As before (see 0004), and the error QB002 too when the rights that the caller knows say something else from `until` on
-- (NULL: they never do).
CREATE FUNCTION standing_gate(tenant integer, known bigint, until timestamptz) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    IF (SELECT version FROM standing) <> known OR clock_timestamp() >= until THEN
        RAISE EXCEPTION USING ERRCODE = 'QB002', MESSAGE = 'standing is older';
    END IF;
    RETURN tenant;
END $$;
DROP FUNCTION standing_gate(integer, bigint);
