-- `out_part`: the part that went out last and was not answered, `out_tries` times so far; `stated_at`: the date that a
-- peer gave in its receipt, which decides nothing.
ALTER TABLE message ADD COLUMN out_part smallint, ADD COLUMN out_tries smallint NOT NULL DEFAULT 0,
    ADD COLUMN stated_at timestamptz;

-- Parts of long messages that wait for the others, whichever node took them.
CREATE INDEX message_waiting_idx ON message (code, binding_id, long_ref, long_total)
    WHERE long_total > 1 AND whole_id IS NULL AND joined IS NULL AND state = 'queued';

-- Receipts that were acknowledged before anybody knew whose they are: another node's, or of a part whose answer is
-- not in message_sent yet. The node that has the message takes them. `refs`: the ids that may be meant, the likeliest
-- first; `pair`: a keyed hash of the numbers that the receipt names. The code is not known, so it is not in the key.
CREATE TABLE message_receipt (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link         text NOT NULL,
    refs         text[] NOT NULL,
    state        text NOT NULL,
    error        text NOT NULL,
    stated_at    timestamptz,
    pair         bytea,
    at           timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX message_receipt_key ON message_receipt (link, refs, state);
CREATE INDEX message_receipt_at_idx ON message_receipt (at);

-- As before (see 0009), with `p_out_part`, `p_out_tries` and `p_stated`.
DROP FUNCTION message_update(
    integer[], bigint[], text[], text[], text[], text[], text[], smallint[], smallint[], timestamptz[], timestamptz[],
    timestamptz[], boolean[], boolean[], integer[], bigint[], smallint[], text[], text[], text[], text[], timestamptz[]
);
CREATE FUNCTION message_update(
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
     WHERE m.code = ANY (ARRAY[w.code]) AND m.id = w.id AND (m.final_at IS NULL OR m.state = w.state);
    IF cardinality(s_id) > 0 THEN
        INSERT INTO message_sent AS s (code, id, part, link, ref, state, error, sent_at)
        SELECT unnest(s_code), unnest(s_id), unnest(s_part), unnest(s_link), unnest(s_ref), unnest(s_state),
               unnest(s_error), unnest(s_at)
        ON CONFLICT (code, id, part) DO UPDATE
        SET link = excluded.link, ref = excluded.ref, state = excluded.state, error = excluded.error;
    END IF;
    IF true = ANY (p_clear) THEN
        DELETE FROM message_sent s
         USING (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_clear) AS clear LIMIT cardinality(p_id)) w
         WHERE w.clear AND s.code = ANY (ARRAY[w.code]) AND s.id = w.id;
    END IF;
END $$;
