-- Returns what is known of (called, caller) pairs, an array element and a row each, in order. `keys` are under the
-- first of the hash keys that the caller knows, `others` under the second one (NULL: it knows one). Each row also has
-- the version of rights and the state of the hash-key rotation, which says whether these were the right keys.
CREATE OR REPLACE FUNCTION message_routes(now_ timestamptz, codes integer[], serials smallint[], keys bytea[], others bytea[])
RETURNS TABLE (place integer, binding_id bigint, tenant_id integer, shown smallint, flags smallint, max_call_s integer,
               ends_at timestamptz, callee bytea, caller bytea, in_use boolean,
               standing bigint, phase smallint, current_id integer, next_id integer)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT w.place::integer, r.binding_id, r.tenant_id, r.shown, r.flags, r.max_call_s, r.ends_at, r.callee, r.caller,
               r.binding_id IS NULL AND EXISTS (
                   SELECT FROM route u WHERE u.code = ANY (ARRAY[w.code]) AND u.serial = w.serial AND u.ends_at > now_),
               s.version, h.phase, h.current_id, h.next_id
        FROM (SELECT unnest(codes) AS code, unnest(serials) AS serial, unnest(keys) AS key, unnest(others) AS other,
                     generate_series(1, cardinality(codes)) AS place LIMIT cardinality(codes)) w
        LEFT JOIN LATERAL (
            SELECT f.* FROM route f
             WHERE f.code = ANY (ARRAY[w.code]) AND f.serial = w.serial AND f.caller_key = ANY (ARRAY[w.key, w.other])
             LIMIT 1) r ON true
        CROSS JOIN standing s CROSS JOIN hash_rotation h;
END $$;

-- Writes what became of messages, an array element each. A final state stays. A row is changed only by the node that
-- has it, or that has the message it is a part of. s_* arrays: parts that peers have accepted.
CREATE OR REPLACE FUNCTION message_update(
    p_node text,
    p_code integer[], p_id bigint[], p_state text[], p_reason text[], p_error text[], p_link text[], p_long text[],
    p_parts smallint[], p_attempts smallint[], p_out_part smallint[], p_out_tries smallint[], p_sent timestamptz[],
    p_final timestamptz[], p_due timestamptz[], p_stated timestamptz[], p_keep boolean[], p_clear boolean[],
    s_code integer[], s_id bigint[], s_part smallint[], s_link text[], s_ref text[], s_state text[], s_error text[],
    s_at timestamptz[]
) RETURNS void
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
    UPDATE message m
       SET state = w.state, reason = w.reason, error = w.error, out_link = w.link, out_long = w.long, parts = w.parts,
           attempts = w.attempts, out_part = w.out_part, out_tries = w.out_tries, sent_at = w.sent, final_at = w.final,
           due_at = w.due, stated_at = w.stated, body = CASE WHEN w.final IS NULL OR w.keep THEN m.body END
      FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_state) AS state, unnest(p_reason) AS reason,
                   unnest(p_error) AS error, unnest(p_link) AS link, unnest(p_long) AS long, unnest(p_parts) AS parts,
                   unnest(p_attempts) AS attempts, unnest(p_out_part) AS out_part, unnest(p_out_tries) AS out_tries,
                   unnest(p_sent) AS sent, unnest(p_final) AS final, unnest(p_due) AS due, unnest(p_stated) AS stated,
                   unnest(p_keep) AS keep LIMIT cardinality(p_id)) w
     WHERE m.code = ANY (ARRAY[w.code]) AND m.id = w.id AND (m.final_at IS NULL OR m.state = w.state)
       AND (m.node = p_node OR (m.whole_id IS NOT NULL AND EXISTS (
                SELECT FROM message h WHERE h.code = m.code AND h.id = m.whole_id AND h.node = p_node)));
    IF cardinality(s_id) > 0 THEN
        INSERT INTO message_sent AS s (code, id, part, link, ref, state, error, sent_at)
        SELECT w.code, w.id, w.part, w.link, w.ref, w.state, w.error, w.at
          FROM (SELECT unnest(s_code) AS code, unnest(s_id) AS id, unnest(s_part) AS part, unnest(s_link) AS link,
                       unnest(s_ref) AS ref, unnest(s_state) AS state, unnest(s_error) AS error, unnest(s_at) AS at
                LIMIT cardinality(s_id)) w
         WHERE EXISTS (SELECT FROM message m WHERE m.code = ANY (ARRAY[w.code]) AND m.id = w.id AND m.node = p_node)
        ON CONFLICT (code, id, part) DO UPDATE
        SET link = excluded.link, ref = excluded.ref, state = excluded.state, error = excluded.error;
    END IF;
    IF true = ANY (p_clear) THEN
        DELETE FROM message_sent s
         USING (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_clear) AS clear LIMIT cardinality(p_id)) w
         WHERE w.clear AND s.code = ANY (ARRAY[w.code]) AND s.id = w.id;
    END IF;
END $$;
