-- name: find
-- The caller's own pair counts before anyone's. What has moved to 700 ends when the 700 binding does, and leads to the
-- party that this has now; where its caller has left it, or it is gone, that was long ago.
SELECT e.tenant_id, e.max_call_s, e.anyone, e.binding_code, e.binding_id, e.ends_at, e.numbers, e.pair, e.new_code, e.new_id,
       CASE WHEN NOT e.anyone THEN n.ends_at WHEN b.released_at IS NULL THEN b.expires_at ELSE 'epoch' END,
       CASE WHEN e.anyone THEN b.a ELSE n.callee END, n.caller, (SELECT version FROM standing),
       clock_timestamp()
FROM existing_route e
LEFT JOIN route n ON n.code = e.new_code AND n.serial = e.new_serial AND n.caller_key IN ($6::bytea, $7::bytea)
                 AND n.binding_id = e.new_id
LEFT JOIN binding b ON b.code = e.new_code AND b.id = e.new_id
WHERE e.code = $1::integer AND e.caller_key IN ($2::bytea, $3::bytea, $4::bytea, $5::bytea)
ORDER BY e.anyone LIMIT 1;

-- name: in_use
SELECT 1 FROM existing_route
WHERE code = $1::integer AND ends_at > coalesce($4::timestamptz, clock_timestamp()) AND caller_key >= $2::bytea AND caller_key < $3::bytea LIMIT 1;
