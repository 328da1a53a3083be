-- Returns the minute at which a binding that ends at `at` no longer counts.
CREATE OR REPLACE FUNCTION quota_minute(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN date_trunc('minute', at, 'UTC') = at THEN at
            ELSE date_trunc('minute', at, 'UTC') + interval '1 minute' END;

-- Counts new bindings, an array element each, against the quotas of the tenant. Bindings that have ended by the
-- clock, read when the quota is held, no longer count. Raises QB003 if the new ones do not fit; the error's detail is
-- `scene|province|how many fit`. Locks quotas in the order of their ids. Returns the tenant.
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

-- Takes bindings off the counts, an array element each: they were not bound after all, or were released early.
CREATE OR REPLACE FUNCTION quota_give(tenant integer, scenes text[], provinces_ text[], ends timestamptz[]) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    q record;
    given bigint;
BEGIN
    FOR q IN SELECT id, scene, province FROM quota WHERE tenant_id = tenant ORDER BY id LOOP
        PERFORM FROM quota_count WHERE quota_id = q.id FOR UPDATE;
        WITH w AS (
            SELECT quota_minute(u.ends) AS minute, count(*) AS count
              FROM unnest(scenes, provinces_, ends) AS u (scene, province, ends)
             WHERE (q.scene IS NULL OR q.scene = u.scene) AND (q.province IS NULL OR q.province = u.province)
             GROUP BY 1),
        less AS (
            UPDATE quota_end e SET count = e.count - w.count
              FROM w WHERE e.quota_id = q.id AND e.minute = w.minute
            RETURNING w.count)
        SELECT coalesce(sum(count), 0) INTO given FROM less;
        UPDATE quota_count SET used = used - given WHERE quota_id = q.id;
    END LOOP;
END $$;

-- A live binding has a new end.
CREATE OR REPLACE FUNCTION quota_moved(tenant integer, scene_ text, province_ text, old_end timestamptz, new_end timestamptz)
RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    q record;
BEGIN
    PERFORM quota_give(tenant, ARRAY[scene_], ARRAY[province_], ARRAY[old_end]);
    FOR q IN SELECT id FROM quota WHERE tenant_id = tenant
                AND (scene IS NULL OR scene = scene_) AND (province IS NULL OR province = province_) ORDER BY id
    LOOP
        INSERT INTO quota_end AS e (quota_id, minute, count) VALUES (q.id, quota_minute(new_end), 1)
        ON CONFLICT (quota_id, minute) DO UPDATE SET count = e.count + 1;
        UPDATE quota_count SET used = used + 1 WHERE quota_id = q.id;
    END LOOP;
END $$;

-- Sets a quota, counts the live bindings and returns their number. No bind, release or change runs meanwhile; the
-- clock is read after that is certain.
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
