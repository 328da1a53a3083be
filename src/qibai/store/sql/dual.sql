-- name: one_at_a_time
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0));

-- name: open
SELECT id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at, decided_by, decided_via, decided_at,
       used_at, digest, verdict_key_id, verdict_seal
FROM dual_request
WHERE digest = ANY(%(digests)s) AND state IN ('pending', 'approved') AND expires_at > clock_timestamp()
ORDER BY state, asked_at
FOR UPDATE;

-- name: ask
INSERT INTO dual_request (id, action, params, reason, asked_by, asked_via, asked_at, expires_at, key_id, digest)
VALUES (%(id)s, %(action)s, %(params)s, %(reason)s, %(asked_by)s, %(asked_via)s, now(),
        now() + make_interval(secs => %(valid_s)s), %(key_id)s, %(digest)s)
RETURNING id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at, decided_by, decided_via,
          decided_at, used_at, digest, verdict_key_id, verdict_seal;

-- name: lock
SELECT id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at, decided_by, decided_via, decided_at,
       used_at, digest, verdict_key_id, verdict_seal
FROM dual_request WHERE id = %(id)s
FOR UPDATE;

-- name: decide
UPDATE dual_request SET state = %(state)s, decided_by = %(by)s, decided_via = %(via)s, decided_at = now(),
                        verdict_key_id = %(key_id)s, verdict_seal = %(seal)s
WHERE id = %(id)s AND expires_at > clock_timestamp()
RETURNING id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at, decided_by, decided_via,
          decided_at, used_at, digest, verdict_key_id, verdict_seal;

-- name: use
-- The row is held, perhaps after a wait: the time is read now.
UPDATE dual_request SET state = 'used', used_at = now() WHERE id = %(id)s AND expires_at > clock_timestamp();

-- name: list
-- An approval has no effect once the key that gave it is revoked.
WITH shown AS (
    SELECT r.id, action, params, reason,
           CASE WHEN r.state = 'approved' AND k.revoked_at IS NOT NULL THEN 'void' ELSE r.state END AS state,
           asked_by, asked_via, asked_at, expires_at, decided_by, decided_via, decided_at, used_at
    FROM dual_request r LEFT JOIN api_key k ON 'key:' || k.id = r.decided_via
)
SELECT * FROM shown
WHERE NOT %(open_only)s OR (state IN ('pending', 'approved') AND expires_at > now())
ORDER BY asked_at DESC, id
LIMIT %(limit)s;

-- name: approved
SELECT id, action, params, reason, state, asked_by, asked_via, asked_at, expires_at, decided_by, decided_via, decided_at,
       used_at, digest, verdict_key_id, verdict_seal
FROM dual_request
WHERE state IN ('approved', 'used') AND digest <> ''
ORDER BY asked_at;
