-- Tenants, codes, bindings, routes, calls. Hot tables are hash-partitioned by code and every key begins with it;
-- `code` is the last eight digits of the 11-digit code. Real numbers are sealed (SM4-GCM) or hashed (HMAC-SM3).

CREATE TABLE tenant (
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL CONSTRAINT tenant_name_key UNIQUE,
    disabled_at  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_key (
    id           text PRIMARY KEY,              -- public part, shown in lists and logs
    tenant_id    integer NOT NULL REFERENCES tenant,
    kind         text NOT NULL DEFAULT 'tenant' CHECK (kind IN ('tenant', 'network')),
    digest       bytea NOT NULL,                -- SHA-256 of the bearer secret
    secret       bytea NOT NULL,                -- the signing secret, sealed
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz
);

CREATE TABLE code (
    code         integer PRIMARY KEY CHECK (code BETWEEN 0 AND 99999999),
    tenant_id    integer REFERENCES tenant,
    province     text,                          -- GB/T 2260, two digits
    enabled      boolean NOT NULL DEFAULT true,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX code_tenant_idx ON code (tenant_id);

CREATE TABLE binding (
    code         integer NOT NULL,
    id           bigint NOT NULL,
    tenant_id    integer NOT NULL,
    mode         text NOT NULL,
    scene        text NOT NULL,
    order_id     text NOT NULL,
    industrial_id text,
    province     text,
    x            smallint NOT NULL,             -- serials within code
    y            smallint,
    a            bytea,                         -- sealed; NULL in group modes
    b            bytea NOT NULL,                -- sealed
    members      bytea[],                       -- sealed, in order; NULL unless a group mode
    max_call_s   integer NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    released_at  timestamptz,
    PRIMARY KEY (code, id)
) PARTITION BY HASH (code);
CREATE INDEX binding_tenant_idx ON binding (tenant_id, id);
CREATE INDEX binding_order_idx ON binding (tenant_id, order_id);

-- One row for each (number, caller) pair that is bound or in quarantine. The primary key is what makes a wrong
-- double use impossible; a row whose free_at has passed is free to be taken over.
CREATE TABLE route (
    code         integer NOT NULL,
    serial       smallint NOT NULL,
    caller_key   bytea NOT NULL,                -- HMAC-SM3 of the caller, first 16 bytes
    next_key     bytea,                         -- the same under the next hash key, during its rotation
    binding_id   bigint NOT NULL,
    tenant_id    integer NOT NULL,
    shown        smallint NOT NULL,             -- the serial that the callee sees
    flags        smallint NOT NULL DEFAULT 0,   -- 1: B calls the group, 2: a member calls B
    max_call_s   integer NOT NULL,
    ends_at      timestamptz NOT NULL,
    free_at      timestamptz NOT NULL,          -- ends_at and the quarantine
    callee       bytea NOT NULL,                -- sealed
    caller       bytea NOT NULL,                -- sealed
    CONSTRAINT route_pkey PRIMARY KEY (code, serial, caller_key)
) PARTITION BY HASH (code);
CREATE UNIQUE INDEX route_next_key ON route (code, serial, next_key) WHERE next_key IS NOT NULL;

CREATE TABLE call (
    code         integer NOT NULL,              -- of the called number; -1 when what was called is no 700 number
    id           bigint NOT NULL,
    tenant_id    integer,
    binding_id   bigint,
    called       smallint,                      -- serials within code
    shown        smallint,
    caller       bytea,                         -- sealed
    callee       bytea,                         -- sealed
    node         text NOT NULL,
    started_at   timestamptz NOT NULL,
    ringing_at   timestamptz,
    answered_at  timestamptz,
    ended_at     timestamptz,
    ended_by     text,                          -- caller, callee, platform
    sip_status   smallint,
    q850         smallint,
    reason       text,                          -- answered, refusal's code, busy, no_answer, cancelled, …
    end_seen     boolean,
    legs         bytea,                         -- sealed: what is needed to end a running call
    PRIMARY KEY (code, id)
) PARTITION BY HASH (code);
CREATE INDEX call_tenant_idx ON call (tenant_id, id);
CREATE INDEX call_open_idx ON call (node) WHERE ended_at IS NULL;

DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE binding_p%s PARTITION OF binding FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                        WITH (fillfactor = 95)', lpad(i::text, 2, '0'), i);
        EXECUTE format('CREATE TABLE route_p%s PARTITION OF route FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                        WITH (fillfactor = 90)', lpad(i::text, 2, '0'), i);
        EXECUTE format('CREATE TABLE call_p%s PARTITION OF call FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                        WITH (fillfactor = 80)', lpad(i::text, 2, '0'), i);
    END LOOP;
END $$;

CREATE TABLE idempotency (
    tenant_id    integer NOT NULL,
    key          bytea NOT NULL,                -- digest of the client's key (and the item's place in a bulk)
    request      bytea NOT NULL,                -- digest of the request
    code         integer NOT NULL,
    binding_id   bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE TABLE nonce (                            -- signed requests seen; kept for twice the window
    key_id       text NOT NULL,
    nonce        text NOT NULL,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (key_id, nonce)
);

-- Where the rotation of the hash key stands. Which key fills which column, and which unique key decides:
--   phase 0  none                    caller_key = current           next_key NULL    route_pkey
--   phase 1  both keys are written   caller_key = current           next_key = next  route_pkey
--   phase 2  rows are switched       caller_key = next (or current) next_key = next  route_next_key
--   phase 3  clean-up                caller_key = next              next_key NULL    route_pkey
CREATE TABLE hash_rotation (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    phase        smallint NOT NULL DEFAULT 0 CHECK (phase BETWEEN 0 AND 3),
    current_id   integer NOT NULL,
    next_id      integer,
    CHECK ((phase = 0) = (next_id IS NULL))
);
INSERT INTO hash_rotation (current_id) VALUES (1);

-- For everyone who writes route rows, first thing in the transaction: which key's hash belongs into caller_key
-- (write_id) and next_key (extra_id, or NULL), and whether route_next_key is the arbiter of conflicts. The shared
-- lock keeps the phase from changing until the writer has committed. plpgsql, as the row must be read after the lock.
CREATE FUNCTION route_epoch(OUT write_id integer, OUT extra_id integer, OUT by_next boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7001);
    SELECT CASE WHEN phase >= 2 THEN next_id ELSE current_id END,
           CASE WHEN phase IN (1, 2) THEN next_id END,
           phase = 2
      INTO STRICT write_id, extra_id, by_next
      FROM hash_rotation;
END $$;

CREATE TABLE rotation_progress (
    job          text NOT NULL,
    part         text NOT NULL,
    done_to      text,
    rows_done    bigint NOT NULL DEFAULT 0,
    finished_at  timestamptz,
    PRIMARY KEY (job, part)
);

-- Ending a running call: the API asks, the node that holds the call answers.
CREATE TABLE call_order (
    code         integer NOT NULL,
    call_id      bigint NOT NULL,
    node         text NOT NULL,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    done_at      timestamptz,
    PRIMARY KEY (code, call_id)
);
