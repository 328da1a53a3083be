-- Who may use which numbers, where and when: carriers, application platforms, their papers, the lives of codes,
-- quotas and locks. Provinces are GB/T 2260, two digits; days are whole days in Beijing time.

CREATE TABLE carrier (
    digit        smallint PRIMARY KEY CHECK (digit BETWEEN 0 AND 9),   -- the fourth digit of a 700 number
    name         text NOT NULL
);

CREATE TABLE platform (                         -- an application-platform provider (应用平台提供方)
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CONSTRAINT platform_name_key UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE application (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform_id  integer NOT NULL REFERENCES platform,
    kind         text NOT NULL CHECK (kind IN ('initial', 'supplement', 'return', 'early_exit', 'renewal')),
    state        text NOT NULL DEFAULT 'drafted'
                 CHECK (state IN ('drafted', 'submitted', 'accepted', 'refused', 'granted')),
    note         text NOT NULL DEFAULT '',      -- what is applied for
    submitted_at timestamptz                    -- when it was submitted first
);
CREATE INDEX application_platform_idx ON application (platform_id);

CREATE TABLE application_step (                 -- its history; rows are only added
    application_id integer NOT NULL REFERENCES application,
    step         integer NOT NULL,
    state        text NOT NULL,
    at           timestamptz NOT NULL,
    reason       text,                          -- of a refusal
    PRIMARY KEY (application_id, step)
);

CREATE TABLE approval (                         -- 试点批文
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform_id  integer NOT NULL REFERENCES platform,
    number       text NOT NULL CONSTRAINT approval_number_key UNIQUE,
    provinces    text[] NOT NULL,
    first_day    date NOT NULL,
    last_day     date NOT NULL CHECK (last_day >= first_day),
    revoked_at   timestamptz,
    revoked_why  text,
    exit_at      timestamptz                    -- an early exit takes effect
);
CREATE INDEX approval_platform_idx ON approval (platform_id, id);

CREATE TABLE certificate (                      -- 码号资源使用证书
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    platform_id  integer NOT NULL REFERENCES platform,
    number       text NOT NULL CONSTRAINT certificate_number_key UNIQUE,
    provinces    text[] NOT NULL,
    first_day    date NOT NULL,
    last_day     date NOT NULL CHECK (last_day >= first_day),
    revoked_at   timestamptz,
    revoked_why  text,
    CONSTRAINT certificate_platform_key UNIQUE (id, platform_id)
);

-- A tenant sits under one application platform, and so do its codes: the foreign keys refuse to hand numbers on.
ALTER TABLE tenant ADD COLUMN platform_id integer REFERENCES platform,
                   ADD CONSTRAINT tenant_platform_key UNIQUE (id, platform_id);

ALTER TABLE code
    ADD COLUMN platform_id    integer REFERENCES platform,
    ADD COLUMN certificate_id integer,
    ADD COLUMN state          text NOT NULL DEFAULT 'assigned'
               CHECK (state IN ('assigned', 'opened', 'in_use', 'draining', 'returned')),
    ADD COLUMN provinces      text[] NOT NULL DEFAULT '{}',    -- where its carrier has opened it
    ADD COLUMN set_aside_why  text,                            -- while it is not `enabled`
    ADD COLUMN returned_at    timestamptz,
    ADD CONSTRAINT code_certificate_check CHECK (certificate_id IS NULL OR platform_id IS NOT NULL),
    ADD CONSTRAINT code_certificate_fkey FOREIGN KEY (certificate_id, platform_id)
               REFERENCES certificate (id, platform_id),
    ADD CONSTRAINT code_tenant_platform_fkey FOREIGN KEY (tenant_id, platform_id)
               REFERENCES tenant (id, platform_id);
CREATE INDEX code_certificate_idx ON code (certificate_id);

CREATE TABLE number_lock (
    code         integer NOT NULL,
    serial       smallint NOT NULL CHECK (serial BETWEEN 0 AND 9999),
    stops_calls  boolean NOT NULL,              -- false: it is bound no more, but what is bound goes on
    why          text NOT NULL,
    locked_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (code, serial)
);

-- How many live bindings a tenant may have: in a scene, in a province; NULL: in all of them together.
CREATE TABLE quota (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    integer NOT NULL REFERENCES tenant,
    scene        text,
    province     text,
    most         bigint NOT NULL CHECK (most >= 0),
    CONSTRAINT quota_key UNIQUE NULLS NOT DISTINCT (tenant_id, scene, province)
);

-- Live bindings of each quota, and when they end: those of minute m end at m or up to a minute before it. So a
-- binding may count for some seconds after its end, but never is one forgotten, and no job has to run.
CREATE TABLE quota_count (
    quota_id     integer PRIMARY KEY REFERENCES quota ON DELETE CASCADE,
    used         bigint NOT NULL DEFAULT 0      -- the sum of quota_end.count
);
CREATE TABLE quota_end (
    quota_id     integer NOT NULL REFERENCES quota ON DELETE CASCADE,
    minute       timestamptz NOT NULL,
    count        bigint NOT NULL,
    PRIMARY KEY (quota_id, minute)
);

-- Grows with every change of what rules depend on. Whoever keeps such things in memory keeps this number with
-- them; every bind and every call reads it along with what it reads anyway.
CREATE TABLE standing (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version      bigint NOT NULL DEFAULT 1
);
INSERT INTO standing DEFAULT VALUES;

-- Binds hold the lock shared until they commit, changes hold it alone: a bind that began before a change commits
-- before it, one that begins after it sees the new version.
CREATE FUNCTION standing_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7004);
    UPDATE standing SET version = version + 1;
    RETURN NULL;
END $$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['platform', 'application', 'approval', 'certificate', 'code', 'number_lock', 'quota']
    LOOP
        EXECUTE format('CREATE TRIGGER standing_changed AFTER INSERT OR UPDATE OR DELETE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION standing_changed()', name);
    END LOOP;
END $$;
CREATE TRIGGER standing_changed AFTER UPDATE OF platform_id ON tenant
    FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();

-- What an application platform is entitled to, but for its certificates. The latest approval counts.
CREATE VIEW platform_standing AS
SELECT p.id AS platform_id, a.number AS approval, a.provinces, a.first_day, a.last_day, a.revoked_at, a.exit_at,
       (SELECT min(submitted_at) FROM application
         WHERE platform_id = p.id AND kind = 'initial' AND state IN ('submitted', 'accepted', 'granted')) AS applied_at
FROM platform p
LEFT JOIN LATERAL (SELECT * FROM approval WHERE platform_id = p.id ORDER BY id DESC LIMIT 1) a ON true;

-- First thing of a bind: no change commits before the bind does, and none was missed since `known` was read
-- (else the error QB002: read again). Returns the tenant, so that it can stand where the tenant is asked for.
CREATE FUNCTION standing_gate(tenant integer, known bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    IF (SELECT version FROM standing) <> known THEN
        RAISE EXCEPTION USING ERRCODE = 'QB002', MESSAGE = 'standing is older';
    END IF;
    RETURN tenant;
END $$;

-- The minute in which a binding stops to count.
CREATE FUNCTION quota_minute(at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN date_trunc('minute', at, 'UTC') = at THEN at
            ELSE date_trunc('minute', at, 'UTC') + interval '1 minute' END;

-- Counts bindings to be made, an array element each, against the tenant's quotas. The error QB003 says that they
-- do not fit; its detail is `scene|province|how many fit`. Quotas are locked in order of their ids.
CREATE FUNCTION quota_take(tenant integer, now_ timestamptz, scenes text[], provinces_ text[], ends timestamptz[])
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    q record;
    live bigint;
    gone bigint;
    wanted bigint;
BEGIN
    FOR q IN SELECT id, scene, province, most FROM quota WHERE tenant_id = tenant ORDER BY id LOOP
        SELECT used INTO STRICT live FROM quota_count WHERE quota_id = q.id FOR UPDATE;
        WITH past AS (DELETE FROM quota_end WHERE quota_id = q.id AND minute <= now_ RETURNING count)
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

-- Counts no more what was counted: not bound after all, or released before its end.
CREATE FUNCTION quota_give(tenant integer, scenes text[], provinces_ text[], ends timestamptz[]) RETURNS void
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

-- The same, for bindings that were released just now in this transaction; passes `done` on.
CREATE FUNCTION quota_released(tenant integer, codes integer[], ids bigint[], done boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF done AND EXISTS (SELECT FROM quota WHERE tenant_id = tenant) THEN
        PERFORM quota_give(tenant, array_agg(b.scene), array_agg(b.province), array_agg(b.expires_at))
           FROM bindings_by_id(tenant, codes, ids) b;
    END IF;
    RETURN done;
END $$;

-- A release waits for a quota that is being set, and the other way round.
CREATE FUNCTION release_gate(tenant integer) RETURNS integer
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    RETURN tenant;
END $$;

-- The version, which stays until the transaction ends.
CREATE FUNCTION standing_now() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7004);
    RETURN (SELECT version FROM standing);
END $$;

-- A live binding ends at another time from now on.
CREATE FUNCTION quota_moved(tenant integer, scene_ text, province_ text, old_end timestamptz, new_end timestamptz)
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

-- Sets a quota and counts what is live already; no bind, release or change of the tenant runs meanwhile.
CREATE FUNCTION set_quota(tenant integer, now_ timestamptz, scene_ text, province_ text, most_ bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    key integer;
    live bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(7004);
    INSERT INTO quota (tenant_id, scene, province, most) VALUES (tenant, scene_, province_, most_)
    ON CONFLICT ON CONSTRAINT quota_key DO UPDATE SET most = excluded.most
    RETURNING id INTO key;
    DELETE FROM quota_end WHERE quota_id = key;
    INSERT INTO quota_end (quota_id, minute, count)
    SELECT key, quota_minute(expires_at), count(*) FROM binding
     WHERE tenant_id = tenant AND released_at IS NULL AND expires_at > now_
       AND (scene_ IS NULL OR scene = scene_) AND (province_ IS NULL OR province = province_)
     GROUP BY 2;
    SELECT coalesce(sum(count), 0) INTO live FROM quota_end WHERE quota_id = key;
    INSERT INTO quota_count (quota_id, used) VALUES (key, live)
    ON CONFLICT (quota_id) DO UPDATE SET used = excluded.used;
    RETURN live;
END $$;

CREATE TABLE code_import (                      -- how far an import has come that is not over
    digest       bytea PRIMARY KEY,             -- of the file
    lines_done   bigint NOT NULL
);

CREATE TABLE pool_figure (                      -- numbers, counted now and then
    at           timestamptz NOT NULL,
    tenant_id    integer NOT NULL,              -- 0: codes of no tenant
    province     text NOT NULL,                 -- '': none
    total        bigint NOT NULL,
    bound        bigint NOT NULL,
    quarantined  bigint NOT NULL,
    locked       bigint NOT NULL,
    PRIMARY KEY (at, tenant_id, province)
);

-- A key of an operator is no tenant's.
ALTER TABLE api_key ALTER COLUMN tenant_id DROP NOT NULL,
                    DROP CONSTRAINT api_key_kind_check,
                    ADD CONSTRAINT api_key_kind_check CHECK (kind IN ('tenant', 'network', 'operator')),
                    ADD CONSTRAINT api_key_tenant_check CHECK ((tenant_id IS NULL) = (kind = 'operator'));
