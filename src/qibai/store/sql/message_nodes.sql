-- name: begin_node
INSERT INTO message_node AS n (node, epoch, seen_at) VALUES (%(node)s, 1, now())
ON CONFLICT (node) DO UPDATE SET epoch = n.epoch + 1, seen_at = now(), taken_by = NULL
RETURNING epoch;

-- name: beat
UPDATE message_node SET seen_at = clock_timestamp(), keys = %(keys)s WHERE node = %(node)s AND epoch = %(epoch)s;

-- name: without_key
SELECT node FROM message_node
WHERE node <> %(but)s AND seen_at > now() - make_interval(secs => %(alive_s)s)
  AND coalesce((keys ->> %(section)s)::integer, 0) < %(key)s
ORDER BY node;

-- name: is_alive
SELECT 1 FROM message_node WHERE node = %(to)s AND seen_at > now() - make_interval(secs => %(alive_s)s);

-- name: fence
-- A gateway of an earlier release has no row. The row stays locked until the messages have changed hands.
INSERT INTO message_node AS n (node, epoch, seen_at, taken_by)
SELECT %(node)s, 1, '-infinity', %(to)s
WHERE EXISTS (SELECT FROM message WHERE node = %(node)s AND due_at IS NOT NULL)
   OR EXISTS (SELECT FROM message_node WHERE node = %(node)s)
ON CONFLICT (node) DO UPDATE
   SET epoch = n.epoch + (n.seen_at < now() - make_interval(secs => %(silent_s)s))::integer,
       taken_by = CASE WHEN n.seen_at < now() - make_interval(secs => %(silent_s)s) THEN %(to)s ELSE n.taken_by END
RETURNING seen_at < now() - make_interval(secs => %(silent_s)s);

-- name: take_over
-- What is to be sent may be out already, and PostgreSQL has yet to hear of it: it counts as tried once.
WITH held AS (
    SELECT code, id, joined,
           state = 'queued' AND NOT (coalesce(long_total, 0) > 1 AND whole_id IS NULL AND joined IS NULL) AS sending
    FROM message WHERE node = %(node)s AND due_at IS NOT NULL
    FOR UPDATE
), parts AS (
    UPDATE message m SET node = %(to)s
    FROM held h WHERE h.joined IS NOT NULL AND m.code = h.code AND m.id = ANY (h.joined) AND m.node = %(node)s
      AND m.due_at IS NULL
)
UPDATE message m
   SET node = %(to)s,
       due_at = CASE WHEN h.sending OR m.final_at IS NOT NULL THEN least(m.due_at, now()) ELSE m.due_at END,
       out_part = CASE WHEN h.sending THEN coalesce(m.out_part, 1 + (
           SELECT count(*) FROM message_sent s WHERE s.code = m.code AND s.id = m.id)::smallint) ELSE m.out_part END,
       out_tries = CASE WHEN h.sending THEN greatest(m.out_tries, 1) ELSE m.out_tries END
  FROM held h
 WHERE m.code = h.code AND m.id = h.id;

-- name: silent_nodes
SELECT m.node, CASE WHEN n.seen_at > '-infinity' THEN extract(epoch FROM now() - n.seen_at)::float8 END,
       count(*) FILTER (WHERE m.state = 'queued'), count(*) FILTER (WHERE m.state = 'sent'),
       count(*) FILTER (WHERE m.final_at IS NOT NULL), min(m.created_at)
FROM message m LEFT JOIN message_node n ON n.node = m.node
WHERE m.due_at IS NOT NULL AND m.node <> ''
  AND (n.seen_at IS NULL OR n.seen_at < now() - make_interval(secs => %(silent_s)s))
GROUP BY m.node, n.seen_at ORDER BY count(*) DESC, m.node;
