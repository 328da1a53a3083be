-- name: get_policy
SELECT numbers, hook, url, timeout_ms, on_timeout, secret FROM message_policy WHERE tenant_id = %(tenant_id)s;

-- name: set_policy
INSERT INTO message_policy AS p (tenant_id, numbers, hook, url, timeout_ms, on_timeout, secret, changed_at)
VALUES (%(tenant_id)s, %(numbers)s, %(hook)s, %(url)s, %(timeout_ms)s, %(on_timeout)s, %(secret)s, now())
ON CONFLICT (tenant_id) DO UPDATE
   SET numbers = excluded.numbers, hook = excluded.hook, url = excluded.url, timeout_ms = excluded.timeout_ms,
       on_timeout = excluded.on_timeout, changed_at = excluded.changed_at,
       secret = CASE WHEN %(new_secret)s THEN excluded.secret ELSE p.secret END
RETURNING secret;
