-- name: lock_head
SELECT seq, hash, key_id, seal, sealed_from, (SELECT current_id FROM hash_rotation) AS newest_key,
       (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at_us
FROM audit_head FOR UPDATE;

-- name: behind
SELECT seq, hash, node, key_id, seal FROM audit WHERE seq > %(seq)s ORDER BY seq LIMIT %(limit)s;

-- name: last
SELECT seq, hash, node, key_id, seal FROM audit ORDER BY seq DESC LIMIT %(limit)s;

-- name: add
WITH added AS (
    INSERT INTO audit (seq, at, actor, role, via, action, subject, details, prev, hash, node, key_id, seal)
    VALUES (%(seq)s, timestamptz 'epoch' + %(at_us)s::bigint * interval '1 microsecond', %(actor)s, %(role)s, %(via)s,
            %(action)s, %(subject)s, %(details)s, %(prev)s, %(hash)s, %(node)s, %(key_id)s, %(entry_seal)s))
UPDATE audit_head SET seq = %(seq)s, hash = %(hash)s, key_id = %(key_id)s, seal = %(head_seal)s;

-- name: head
SELECT seq, hash, key_id, seal, sealed_from, (SELECT current_id FROM hash_rotation) AS newest_key FROM audit_head;

-- name: entries
SELECT seq, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, role, via, action, subject, details, prev, hash,
       node, key_id, seal
FROM audit
ORDER BY seq, hash;

-- name: restores
SELECT seq, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, role, via, action, subject, details, prev, hash,
       node, key_id, seal
FROM audit WHERE action = %(action)s ORDER BY seq;

-- name: page
SELECT seq, (extract(epoch FROM at) * 1000000)::bigint AS at_us, actor, role, via, action, subject, details, prev, hash
FROM audit
WHERE (%(before)s::bigint IS NULL OR seq < %(before)s)
  AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(action)s::text IS NULL OR action = %(action)s)
  AND (%(subject)s::text IS NULL OR subject = %(subject)s)
  AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR at < %(until)s)
ORDER BY seq DESC
LIMIT %(limit)s;
