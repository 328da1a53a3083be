-- Existing business: old middle numbers outside 700 that go on serving in the transition, and their move to 700.
-- `code` is negative here: -2 less the last four digits of the old number. Numbers are sealed, tied to the binding's
-- code and id.

CREATE TABLE existing_binding (
    code         integer NOT NULL CHECK (code BETWEEN -10001 AND -2),   -- of X
    id           bigint NOT NULL,
    tenant_id    integer NOT NULL,
    mode         text NOT NULL CHECK (mode IN ('AXB', 'AXYB', 'AXN')),
    scene        text NOT NULL,
    order_id     text NOT NULL,
    province     text,
    vendor       text NOT NULL,
    vendor_id    text,                          -- the vendor's id of the binding
    numbers      bytea NOT NULL,                -- X, Y, A and B in one, sealed
    max_call_s   integer NOT NULL,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    released_at  timestamptz,
    new_code     integer,                       -- the 700 binding that it has become; NULL: none
    new_id       bigint,
    told_at      timestamptz,                   -- its parties were told the new number
    PRIMARY KEY (code, id)
) PARTITION BY HASH (code);
CREATE INDEX existing_binding_tenant_idx ON existing_binding (tenant_id, id);

-- A (number, caller) pair each. caller_key: 8 bytes that are the number's alone, then 16 of the pair. Once moved, a
-- pair lives and ends with the 700 binding's pair (new_code, new_serial) of the same caller.
CREATE TABLE existing_route (
    code         integer NOT NULL,              -- of the number that is dialled
    caller_key   bytea NOT NULL,
    next_key     bytea,                         -- the same under the next hash key, during its rotation
    binding_code integer NOT NULL,
    binding_id   bigint NOT NULL,
    tenant_id    integer NOT NULL,
    max_call_s   integer NOT NULL,
    ends_at      timestamptz NOT NULL,
    free_at      timestamptz NOT NULL,
    numbers      bytea NOT NULL,                -- the binding's
    pair         smallint NOT NULL,             -- which of its pairs: 0 X and A, or X and anyone; 1 the other
    anyone       boolean NOT NULL,              -- AXN
    new_code     integer,
    new_id       bigint,
    new_serial   smallint,
    CONSTRAINT existing_route_pkey PRIMARY KEY (code, caller_key)
) PARTITION BY HASH (code);
CREATE UNIQUE INDEX existing_route_next_key ON existing_route (code, next_key) WHERE next_key IS NOT NULL;

DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE existing_binding_p%s PARTITION OF existing_binding
                        FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 80)', lpad(i::text, 2, '0'), i);
        EXECUTE format('CREATE TABLE existing_route_p%s PARTITION OF existing_route
                        FOR VALUES WITH (MODULUS 16, REMAINDER %s) WITH (fillfactor = 80)', lpad(i::text, 2, '0'), i);
    END LOOP;
END $$;

-- Where a tenant's move stands. No row: nothing of it was ever taken over.
CREATE TABLE existing_business (
    tenant_id    integer PRIMARY KEY REFERENCES tenant,
    began_at     timestamptz NOT NULL DEFAULT now(),
    cut_over_at  timestamptz                    -- from then on the old numbers are refused
);
CREATE TRIGGER standing_changed AFTER INSERT OR UPDATE OR DELETE ON existing_business
    FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();

-- The number that an old call was to, sealed like the other numbers of the call.
ALTER TABLE call ADD COLUMN dialled bytea;

CREATE TABLE migration (                        -- a file of old bindings that is being, or was, taken over
    id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    integer NOT NULL REFERENCES tenant,
    digest       bytea NOT NULL,                -- of the file and of how it is read
    file         text NOT NULL,                 -- its name
    batch        integer NOT NULL,              -- bindings of one transaction
    began_at     timestamptz NOT NULL DEFAULT now(),
    checked_at   timestamptz,                   -- the whole file was checked
    total        bigint,                        -- bindings in it, once that is known
    finished_at  timestamptz,                   -- every batch is done
    CONSTRAINT migration_file_key UNIQUE (tenant_id, digest)
);

CREATE TABLE migration_batch (                  -- written in the transaction of what it counts
    migration_id integer NOT NULL REFERENCES migration,
    number       integer NOT NULL,              -- from 0
    moved        integer NOT NULL,              -- got a 700 number
    kept         integer NOT NULL,              -- serve under their old number alone
    earlier      integer NOT NULL,              -- were there before
    rejected     integer NOT NULL,
    done         boolean NOT NULL,              -- false: some were refused for want of numbers or rights; try again
    PRIMARY KEY (migration_id, number)
);

CREATE TABLE migration_reject (                 -- what was not taken, or got no 700 number, and why
    migration_id integer NOT NULL REFERENCES migration,
    place        bigint NOT NULL,               -- of the binding in the file, from 1
    line         bigint NOT NULL,
    code         text NOT NULL,
    reason       text NOT NULL,                 -- without numbers
    checked      boolean NOT NULL,              -- found when the whole file was checked: no batch tries it
    PRIMARY KEY (migration_id, place)
);

-- Rows of existing_route under these keys. What has moved and is live lives as long as its 700 binding.
CREATE FUNCTION existing_known(codes integer[], keys bytea[], by_next boolean, now_ timestamptz)
RETURNS TABLE (place integer, home integer, id bigint, tenant integer, ends timestamptz, free timestamptz,
               numbers_ bytea, pair_ smallint, new bigint)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY
        SELECT r.place::integer, r.binding_code, r.binding_id, r.tenant_id, coalesce(b.expires_at, r.ends_at),
               greatest(b.expires_at, r.free_at), r.numbers, r.pair, r.new_id
        FROM (SELECT w.place, r.* FROM
                  (SELECT unnest(codes) AS code, unnest(keys) AS key, generate_series(0, cardinality(keys) - 1) AS place
                   LIMIT cardinality(keys)) w
                  JOIN existing_route r ON NOT by_next AND r.code = ANY (ARRAY[w.code]) AND r.caller_key = w.key
              UNION ALL
              SELECT w.place, r.* FROM
                  (SELECT unnest(codes) AS code, unnest(keys) AS key, generate_series(0, cardinality(keys) - 1) AS place
                   LIMIT cardinality(keys)) w
                  JOIN existing_route r ON by_next AND r.code = ANY (ARRAY[w.code]) AND r.next_key = w.key) r
        LEFT JOIN binding b ON b.code = r.new_code AND b.id = r.new_id AND b.released_at IS NULL AND b.expires_at > now_;
END $$;

-- Which of these numbers (the first eight bytes of their keys, and the first key behind them) somebody is bound on.
CREATE FUNCTION existing_numbers(codes integer[], first bytea[], behind bytea[], by_next boolean)
RETURNS SETOF integer
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    RETURN QUERY SELECT w.place::integer
        FROM (SELECT unnest(codes) AS code, unnest(first) AS lo, unnest(behind) AS hi,
                     generate_series(0, cardinality(codes) - 1) AS place LIMIT cardinality(codes)) w
        WHERE CASE WHEN by_next THEN
                  EXISTS (SELECT FROM existing_route r
                          WHERE r.code = ANY (ARRAY[w.code]) AND r.next_key >= w.lo AND r.next_key < w.hi)
              ELSE
                  EXISTS (SELECT FROM existing_route r
                          WHERE r.code = ANY (ARRAY[w.code]) AND r.caller_key >= w.lo AND r.caller_key < w.hi)
              END;
END $$;

-- Old bindings, and their pairs, have got their 700 binding (or, all new_* NULL, lost it).
CREATE FUNCTION existing_moved(
    b_code integer[], b_id bigint[], b_new_code integer[], b_new_id bigint[],
    r_code integer[], r_key bytea[], r_new_code integer[], r_new_id bigint[], r_serial smallint[], by_next boolean
) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
BEGIN
    UPDATE existing_binding b SET new_code = w.new_code, new_id = w.new_id
    FROM (SELECT unnest(b_code) AS code, unnest(b_id) AS id, unnest(b_new_code) AS new_code, unnest(b_new_id) AS new_id
          LIMIT cardinality(b_id)) w
    WHERE b.code = ANY (ARRAY[w.code]) AND b.id = w.id;
    UPDATE existing_route r SET new_code = w.new_code, new_id = w.new_id, new_serial = w.serial
    FROM (SELECT unnest(r_code) AS code, unnest(r_key) AS key, unnest(r_new_code) AS new_code,
                 unnest(r_new_id) AS new_id, unnest(r_serial) AS serial LIMIT cardinality(r_key)) w
    WHERE NOT by_next AND r.code = ANY (ARRAY[w.code]) AND r.caller_key = w.key;
    UPDATE existing_route r SET new_code = w.new_code, new_id = w.new_id, new_serial = w.serial
    FROM (SELECT unnest(r_code) AS code, unnest(r_key) AS key, unnest(r_new_code) AS new_code,
                 unnest(r_new_id) AS new_id, unnest(r_serial) AS serial LIMIT cardinality(r_key)) w
    WHERE by_next AND r.code = ANY (ARRAY[w.code]) AND r.next_key = w.key;
END $$;
