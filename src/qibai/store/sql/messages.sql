-- name: find_pairs
SELECT place, binding_id, tenant_id, shown, flags, max_call_s, ends_at, callee, caller, in_use, standing,
       clock_timestamp(), phase, current_id, next_id
FROM message_routes(now_ => coalesce(%(now)s::timestamptz, clock_timestamp()), codes => %(codes)s,
                    serials => %(serials)s, keys => %(keys)s, others => %(others)s);

-- name: accept
WITH stored AS (
    INSERT INTO message (code, id, kind, tenant_id, binding_id, called, shown, sender, receiver, body, content, flags,
                         node, in_link, in_ref, long_ref, long_total, long_seq, whole_id, joined, state, reason, rule,
                         created_at, valid_until, final_at, due_at)
    SELECT w.code, w.id, w.kind, w.tenant_id, w.binding_id, w.called, w.shown, w.sender, w.receiver, w.body, w.content,
           w.flags, w.node, w.in_link, w.in_ref, w.long_ref, w.long_total, w.long_seq, w.whole_id, w.joined::bigint[],
           w.state, w.reason, w.rule, w.created_at, w.valid_until, w.final_at, w.due_at
    FROM (SELECT unnest(%(code)s) AS code, unnest(%(id)s) AS id, unnest(%(kind)s) AS kind,
                 unnest(%(tenant_id)s) AS tenant_id, unnest(%(binding_id)s) AS binding_id,
                 unnest(%(called)s) AS called, unnest(%(shown)s) AS shown, unnest(%(sender)s) AS sender,
                 unnest(%(receiver)s) AS receiver, unnest(%(body)s) AS body, unnest(%(content)s) AS content,
                 unnest(%(flags)s) AS flags, unnest(%(node)s) AS node, unnest(%(in_link)s) AS in_link,
                 unnest(%(in_ref)s) AS in_ref, unnest(%(long_ref)s) AS long_ref,
                 unnest(%(long_total)s) AS long_total, unnest(%(long_seq)s) AS long_seq,
                 unnest(%(whole_id)s) AS whole_id, unnest(%(joined)s) AS joined, unnest(%(state)s) AS state,
                 unnest(%(reason)s) AS reason, unnest(%(rule)s) AS rule, unnest(%(created_at)s) AS created_at,
                 unnest(%(valid_until)s) AS valid_until, unnest(%(final_at)s) AS final_at,
                 unnest(%(due_at)s) AS due_at) w
    ON CONFLICT (code, in_link, in_ref) WHERE in_ref IS NOT NULL DO NOTHING
    RETURNING id, out_ref
), joined AS (
    UPDATE message m SET whole_id = f.whole, due_at = NULL
    FROM (SELECT unnest(%(f_code)s) AS code, unnest(%(f_id)s) AS id, unnest(%(f_whole)s) AS whole) f
    JOIN stored ON stored.id = f.whole
    WHERE m.code = f.code AND m.id = f.id
)
SELECT id, out_ref FROM stored;

-- name: known
SELECT m.code, m.in_link, m.in_ref, m.id, m.state, m.reason, m.rule
FROM (SELECT unnest(%(code)s) AS code, unnest(%(link)s) AS link, unnest(%(ref)s) AS ref) w
JOIN message m ON m.code = w.code AND m.in_link = w.link AND m.in_ref = w.ref;

-- name: update
SELECT message_update(
    p_node => %(node)s, p_code => %(code)s, p_id => %(id)s, p_state => %(state)s, p_reason => %(reason)s,
    p_error => %(error)s, p_link => %(link)s, p_long => %(long)s, p_parts => %(parts)s, p_attempts => %(attempts)s,
    p_out_part => %(out_part)s, p_out_tries => %(out_tries)s, p_sent => %(sent_at)s, p_final => %(final_at)s,
    p_due => %(due_at)s, p_stated => %(stated_at)s, p_keep => %(keep)s, p_clear => %(clear)s,
    s_code => %(s_code)s, s_id => %(s_id)s, s_part => %(s_part)s, s_link => %(s_link)s, s_ref => %(s_ref)s,
    s_state => %(s_state)s, s_error => %(s_error)s, s_at => %(s_at)s);

-- name: disown
WITH apart AS (
    UPDATE message m SET whole_id = NULL, due_at = now()
    FROM (SELECT unnest(%(f_code)s) AS code, unnest(%(f_id)s) AS id, unnest(%(f_whole)s) AS whole) f
    WHERE m.code = f.code AND m.id = f.id AND m.whole_id = f.whole
)
DELETE FROM message m
USING (SELECT unnest(%(code)s) AS code, unnest(%(id)s) AS id) w
WHERE m.code = w.code AND m.id = w.id;

-- name: due
SELECT code, id, kind, tenant_id, binding_id, called, shown, sender, receiver, body, content, flags, node, in_link, in_ref,
       long_ref, long_total, long_seq, whole_id, joined, state, reason, rule, error, out_link, out_long, parts, attempts,
       created_at, valid_until, sent_at, final_at, due_at, out_part, out_tries, stated_at, out_ref
FROM message WHERE node = %(node)s AND due_at <= %(until)s
ORDER BY due_at LIMIT %(limit)s;

-- name: adopt
-- Nobody's, and what comes due of nodes whose messages were taken over: that may be out already.
UPDATE message m
   SET node = %(node)s,
       out_part = CASE WHEN w.node = '' OR m.state <> 'queued' THEN m.out_part ELSE coalesce(m.out_part, 1) END,
       out_tries = CASE WHEN w.node = '' OR m.state <> 'queued' THEN m.out_tries ELSE greatest(m.out_tries, 1) END
FROM (SELECT code, id, node FROM message
      WHERE node = ANY (ARRAY(SELECT n.node FROM message_node n WHERE n.taken_by = %(node)s) || ARRAY[''])
        AND due_at <= %(until)s
      ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED) w
WHERE m.code = w.code AND m.id = w.id
RETURNING m.code, m.id, m.kind, m.tenant_id, m.binding_id, m.called, m.shown, m.sender, m.receiver, m.body, m.content,
          m.flags, m.node, m.in_link, m.in_ref, m.long_ref, m.long_total, m.long_seq, m.whole_id, m.joined, m.state,
          m.reason, m.rule, m.error, m.out_link, m.out_long, m.parts, m.attempts, m.created_at, m.valid_until,
          m.sent_at, m.final_at, m.due_at, m.out_part, m.out_tries, m.stated_at, m.out_ref;

-- name: waiting_parts
SELECT code, id, kind, tenant_id, binding_id, called, shown, sender, receiver, body, content, flags, node, in_link, in_ref,
       long_ref, long_total, long_seq, whole_id, joined, state, reason, rule, error, out_link, out_long, parts, attempts,
       created_at, valid_until, sent_at, final_at, due_at, out_part, out_tries, stated_at, out_ref
FROM message WHERE node = %(node)s AND due_at IS NOT NULL AND long_total > 1 AND whole_id IS NULL AND joined IS NULL
  AND state = 'queued';

-- name: places
-- The parts that wait with one, whichever node has them.
SELECT m.id, m.long_seq FROM message m
WHERE m.code = %(code)s AND m.binding_id = %(binding_id)s AND m.long_ref = %(ref)s AND m.long_total = %(total)s
  AND m.long_total > 1 AND m.whole_id IS NULL AND m.joined IS NULL AND m.state = 'queued';

-- name: join_parts
-- All of them still wait, or nothing is changed.
WITH waiting AS (
    SELECT m.id FROM message m
    WHERE m.code = %(code)s AND m.id = ANY (%(ids)s) AND m.long_total > 1 AND m.whole_id IS NULL AND m.joined IS NULL
      AND m.state = 'queued'
    ORDER BY m.id FOR UPDATE
), all_of_them AS (
    SELECT count(*) = cardinality(%(ids)s) AS there FROM waiting
), others AS (
    UPDATE message m
       SET whole_id = %(whole)s, state = %(state)s, reason = %(reason)s, final_at = %(final_at)s,
           body = CASE WHEN %(final_at)s::timestamptz IS NULL THEN m.body END,
           due_at = CASE WHEN m.in_ref IS NOT NULL AND m.flags & 3 <> 0 THEN %(final_at)s::timestamptz END
     WHERE m.code = %(code)s AND m.id = ANY (%(ids)s) AND m.id <> %(whole)s AND (SELECT there FROM all_of_them)
)
UPDATE message m
   SET joined = %(joined)s, body = %(body)s, content = %(content)s, flags = %(flags)s, node = %(node)s,
       state = %(state)s, reason = %(reason)s, final_at = %(final_at)s, due_at = %(due_at)s
 WHERE m.code = %(code)s AND m.id = %(whole)s AND (SELECT there FROM all_of_them)
RETURNING m.id;

-- name: end_waiting
UPDATE message m
   SET state = 'rejected', reason = 'parts_missing', final_at = now(), body = NULL,
       due_at = CASE WHEN m.in_ref IS NOT NULL AND m.flags & 3 <> 0 THEN now() END
 WHERE m.code = %(code)s AND m.id = %(id)s AND m.whole_id IS NULL AND m.joined IS NULL AND m.state = 'queued'
RETURNING m.id;

-- name: count_waiting
SELECT count(*) FROM message WHERE node = %(node)s AND due_at IS NOT NULL AND long_total > 1 AND whole_id IS NULL
  AND joined IS NULL AND state = 'queued';

-- name: keep_receipt
INSERT INTO message_receipt (link, refs, state, error, stated_at, pair)
VALUES (%(link)s, %(refs)s, %(state)s, %(error)s, %(stated_at)s, %(pair)s) ON CONFLICT DO NOTHING;

-- name: kept_receipts
SELECT r.id, r.state, r.error, r.stated_at, r.pair, n.place,
       EXISTS (SELECT FROM message_sent o
               WHERE o.link = s.link AND o.ref = s.ref AND (o.code, o.id) <> (s.code, s.id)) AS shared,
       s.code, s.id, s.part
FROM message_receipt r
CROSS JOIN LATERAL unnest(r.refs) WITH ORDINALITY n (ref, place)
JOIN message_sent s ON s.ref = n.ref AND s.link = r.link
JOIN message m ON m.code = s.code AND m.id = s.id
WHERE r.at > now() - make_interval(secs => %(since_s)s) AND m.node = %(node)s
  AND m.created_at < r.at + interval '5 seconds'  -- peers use ids again, and clocks differ
ORDER BY r.id, n.place, s.sent_at DESC LIMIT %(limit)s;

-- name: forget_receipts
DELETE FROM message_receipt WHERE id = ANY (%(ids)s);

-- name: old_receipts
DELETE FROM message_receipt WHERE at < now() - make_interval(secs => %(age_s)s);

-- name: load
SELECT m.code, m.id, m.kind, m.tenant_id, m.binding_id, m.called, m.shown, m.sender, m.receiver, m.body, m.content,
       m.flags, m.node, m.in_link, m.in_ref, m.long_ref, m.long_total, m.long_seq, m.whole_id, m.joined, m.state,
       m.reason, m.rule, m.error, m.out_link, m.out_long, m.parts, m.attempts, m.created_at, m.valid_until,
       m.sent_at, m.final_at, m.due_at, m.out_part, m.out_tries, m.stated_at, m.out_ref
FROM (SELECT unnest(%(code)s) AS code, unnest(%(id)s) AS id) w
JOIN message m ON m.code = w.code AND m.id = w.id;

-- name: parts_of
SELECT s.code, s.id, s.part, s.link, s.ref, s.state, s.error, s.sent_at
FROM (SELECT unnest(%(code)s) AS code, unnest(%(id)s) AS id) w
JOIN message_sent s ON s.code = w.code AND s.id = w.id;

-- name: find_sent
SELECT s.code, s.id, s.part, s.link, s.ref, s.state, s.error, s.sent_at
FROM (SELECT unnest(%(link)s) AS link, unnest(%(ref)s) AS ref) w
JOIN message_sent s ON s.link = w.link AND s.ref = w.ref;

-- name: claim_key
INSERT INTO idempotency (tenant_id, key, request, code, binding_id, created_at)
VALUES (%(tenant_id)s, %(key)s, %(request)s, %(code)s, %(id)s, now())
ON CONFLICT DO NOTHING RETURNING 1;

-- name: read_key
SELECT request, code, binding_id FROM idempotency WHERE tenant_id = %(tenant_id)s AND key = %(key)s;

-- name: notify
SELECT pg_notify('qibai_message', %(node)s);

-- name: list_messages
SELECT m.code, m.id, m.kind, m.tenant_id, m.binding_id, b.order_id, m.called, m.shown, m.sender, m.receiver, m.body,
       m.content, m.flags, m.in_link, m.out_link, m.state, m.reason, m.rule, m.error, m.parts, m.attempts, m.created_at,
       m.valid_until, m.sent_at, m.final_at
FROM message m LEFT JOIN binding b ON b.code = m.code AND b.id = m.binding_id
WHERE m.tenant_id = %(tenant_id)s AND m.kind <> 'notice' AND m.whole_id IS NULL
  AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
  AND (%(after)s::bigint IS NULL OR m.id > %(after)s)
  AND (%(code)s::integer IS NULL OR m.code = %(code)s)
  AND (%(binding_id)s::bigint IS NULL OR m.binding_id = %(binding_id)s)
  AND (%(state)s::text IS NULL OR m.state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR m.created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR m.created_at < %(until)s)
ORDER BY m.id DESC, m.code
LIMIT %(limit)s;

-- name: list_messages_of_order
-- A message is younger than its binding, and so is its id.
SELECT m.code, m.id, m.kind, m.tenant_id, m.binding_id, b.order_id, m.called, m.shown, m.sender, m.receiver, m.body,
       m.content, m.flags, m.in_link, m.out_link, m.state, m.reason, m.rule, m.error, m.parts, m.attempts, m.created_at,
       m.valid_until, m.sent_at, m.final_at
FROM binding b JOIN message m ON m.code = b.code AND m.binding_id = b.id
WHERE b.tenant_id = %(tenant_id)s AND b.order_id = %(order_id)s AND m.tenant_id = b.tenant_id
  AND m.kind <> 'notice' AND m.whole_id IS NULL
  AND (%(before)s::bigint IS NULL OR m.id < %(before)s)
  AND (%(after)s::bigint IS NULL OR m.id > %(after)s)
  AND (%(code)s::integer IS NULL OR m.code = %(code)s)
  AND (%(binding_id)s::bigint IS NULL OR m.binding_id = %(binding_id)s)
  AND (%(state)s::text IS NULL OR m.state = %(state)s)
  AND (%(since)s::timestamptz IS NULL OR m.created_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR m.created_at < %(until)s)
ORDER BY m.id DESC, m.code
LIMIT %(limit)s;

-- name: get_message
SELECT m.code, m.id, m.kind, m.tenant_id, m.binding_id, b.order_id, m.called, m.shown, m.sender, m.receiver, m.body,
       m.content, m.flags, m.in_link, m.out_link, m.state, m.reason, m.rule, m.error, m.parts, m.attempts, m.created_at,
       m.valid_until, m.sent_at, m.final_at
FROM message m LEFT JOIN binding b ON b.code = m.code AND b.id = m.binding_id
WHERE m.code = %(code)s AND m.id = %(id)s AND m.tenant_id = %(tenant_id)s;

-- name: order_of
SELECT order_id FROM binding WHERE code = %(code)s AND id = %(id)s;
