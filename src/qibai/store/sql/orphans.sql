-- name: find
SELECT r.code, r.serial, r.caller_key, r.binding_id FROM {part} r
WHERE r.ctid >= %(from)s::tid AND r.ctid < %(to)s::tid AND r.ends_at > now()
  AND NOT EXISTS (SELECT FROM binding b WHERE b.code = r.code AND b.id = r.binding_id
                  AND b.released_at IS NULL AND b.expires_at > clock_timestamp());

-- name: hold
SELECT FROM binding WHERE code = %(code)s AND id = %(binding_id)s FOR SHARE;

-- name: end
WITH t AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE route r SET ends_at = 'epoch', free_at = t.now + %(quarantine)s
FROM t
WHERE r.code = %(code)s AND r.serial = %(serial)s AND r.caller_key = %(caller_key)s
  AND r.binding_id = %(binding_id)s AND r.ends_at > t.now
  AND NOT EXISTS (SELECT FROM binding b WHERE b.code = r.code AND b.id = r.binding_id
                  AND b.released_at IS NULL AND b.expires_at > t.now);
