-- Text messages (core/messages.py). A row is a message, or a part of a long one, as it was acknowledged to its sender:
-- its record and, until it is final, all that is needed to send it. Numbers are sealed as those of calls are; the
-- text is sealed under (code, id) and goes when the message is final.
CREATE TABLE message (
    code         integer NOT NULL,              -- of the number written to; -1 when that is no 700 number
    id           bigint NOT NULL,
    kind         text NOT NULL,                 -- relay: a party's; platform: sent for a party; notice: to a refused sender
    tenant_id    integer,
    binding_id   bigint,
    called       smallint,                      -- serials within code
    shown        smallint,                      -- what the receiver sees
    sender       bytea,                         -- sealed
    receiver     bytea,                         -- sealed
    body         bytea,                         -- sealed: what is to be sent
    content      text,                          -- what the record shows of the text: starred
    flags        smallint NOT NULL DEFAULT 0,   -- 1: a receipt is wanted, 2: only of failure, 4: a number is in the text
    node         text NOT NULL,                 -- whose gateway has it; empty: nobody's yet
    in_link      text,
    in_ref       text,
    long_ref     integer,                       -- a part's place in a long message, as it came
    long_total   smallint,
    long_seq     smallint,
    whole_id     bigint,                        -- the message that the parts were joined to
    joined       bigint[],                      -- of that message: its other parts
    state        text NOT NULL,
    reason       text,
    rule         text,
    error        text,                          -- the network's code
    out_link     text,
    out_long     text,                          -- how it was split, once a part of it was taken
    parts        smallint,                      -- in which it leaves
    attempts     smallint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    valid_until  timestamptz NOT NULL,
    sent_at      timestamptz,
    final_at     timestamptz,
    due_at       timestamptz,                   -- when something is to be done; NULL: all is done
    CONSTRAINT message_pkey PRIMARY KEY (code, id)
) PARTITION BY HASH (code);
-- The same again from the same peer is not a second message.
CREATE UNIQUE INDEX message_in_key ON message (code, in_link, in_ref) WHERE in_ref IS NOT NULL;
CREATE INDEX message_tenant_idx ON message (tenant_id, id);
CREATE INDEX message_due_idx ON message (node, due_at) WHERE due_at IS NOT NULL;

-- The parts of messages that peers have taken, until the message is final: whose receipt is it?
CREATE TABLE message_sent (
    code         integer NOT NULL,
    id           bigint NOT NULL,
    part         smallint NOT NULL,
    link         text NOT NULL,
    ref          text NOT NULL,
    state        text NOT NULL,
    error        text,
    sent_at      timestamptz NOT NULL,
    PRIMARY KEY (code, id, part)
) PARTITION BY HASH (code);
CREATE INDEX message_sent_ref_idx ON message_sent (ref, link);

DO $$
BEGIN
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE message_p%s PARTITION OF message FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                        WITH (fillfactor = 70)', lpad(i::text, 2, '0'), i);
        EXECUTE format('CREATE TABLE message_sent_p%s PARTITION OF message_sent FOR VALUES WITH (MODULUS 16, REMAINDER %s)
                        WITH (fillfactor = 80)', lpad(i::text, 2, '0'), i);
    END LOOP;
END $$;

-- What is known of (called, caller) pairs, an array element each: `keys` under the first, `others` under the second
-- of the hash keys that the caller knows (NULL: it knows one). One row for each pair, in order, and in each row the
-- version of rights and the rotation of hash keys: which keys had to be asked for. Plans are pinned as in 0002.
CREATE FUNCTION message_routes(now_ timestamptz, codes integer[], serials smallint[], keys bytea[], others bytea[])
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

-- What became of messages, an array element each; what is final stays as it is. `s_*`: parts that peers took.
CREATE FUNCTION message_update(
    p_code integer[], p_id bigint[], p_state text[], p_reason text[], p_error text[], p_link text[], p_long text[],
    p_parts smallint[], p_attempts smallint[], p_sent timestamptz[], p_final timestamptz[], p_due timestamptz[],
    p_keep boolean[], p_clear boolean[],
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
           attempts = w.attempts, sent_at = w.sent, final_at = w.final, due_at = w.due,
           body = CASE WHEN w.final IS NULL OR w.keep THEN m.body END
      FROM (SELECT unnest(p_code) AS code, unnest(p_id) AS id, unnest(p_state) AS state, unnest(p_reason) AS reason,
                   unnest(p_error) AS error, unnest(p_link) AS link, unnest(p_long) AS long, unnest(p_parts) AS parts,
                   unnest(p_attempts) AS attempts, unnest(p_sent) AS sent, unnest(p_final) AS final,
                   unnest(p_due) AS due, unnest(p_keep) AS keep LIMIT cardinality(p_id)) w
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
