-- Returns the rows of existing_route under these keys. A pair that has moved lives as long as its 700 binding.
CREATE OR REPLACE FUNCTION existing_known(codes integer[], keys bytea[], by_next boolean, now_ timestamptz)
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

-- Returns the places of those numbers that somebody is bound on. `first` is the first eight bytes of a number's keys,
-- and `behind` the first key after them.
CREATE OR REPLACE FUNCTION existing_numbers(codes integer[], first bytea[], behind bytea[], by_next boolean)
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

-- Notes the 700 bindings that old bindings and their pairs now have; new_* is NULL for those that lost theirs.
CREATE OR REPLACE FUNCTION existing_moved(
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
