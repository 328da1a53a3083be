-- Gateways that hold text messages (message.node). A gateway says each second that it lives. When it has been silent
-- for long, its messages may be given to another node: `epoch` goes up, so that the old gateway, if it wakes, knows
-- that it must not send what it has in memory. `taken_by` adopts what of the node's comes due later, until the node
-- begins again.
CREATE TABLE message_node (
    node         text PRIMARY KEY,
    epoch        bigint NOT NULL,
    seen_at      timestamptz NOT NULL,
    taken_by     text
);

-- As before (see 0040), with `p_node`: a row is changed by the node that has it alone, or that has its whole message.
DROP FUNCTION message_update(
    integer[], bigint[], text[], text[], text[], text[], text[], smallint[], smallint[], smallint[], smallint[],
    timestamptz[], timestamptz[], timestamptz[], timestamptz[], boolean[], boolean[], integer[], bigint[], smallint[],
    text[], text[], text[], text[], timestamptz[]
);
CREATE FUNCTION message_update(
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
