-- name: find
SELECT binding_id, tenant_id, shown, flags, max_call_s, ends_at, callee, caller, (SELECT version FROM standing),
       clock_timestamp()
FROM {part} WHERE code = $1::integer AND serial = $2::smallint AND caller_key = $3::bytea;

-- name: find_two
SELECT binding_id, tenant_id, shown, flags, max_call_s, ends_at, callee, caller, (SELECT version FROM standing),
       clock_timestamp()
FROM {part} WHERE code = $1::integer AND serial = $2::smallint AND caller_key IN ($3::bytea, $4::bytea);

-- name: in_use
SELECT 1 FROM {part}
WHERE code = $1::integer AND serial = $2::smallint AND ends_at > coalesce($3::timestamptz, clock_timestamp()) LIMIT 1;

-- name: remainder
SELECT r FROM generate_series(0, 15) r WHERE satisfies_hash_partition('route'::regclass, 16, r, $1::integer);

-- name: rotation
SELECT phase, current_id, coalesce(next_id, 0) FROM hash_rotation;

-- name: call_ended
SELECT 1 FROM call WHERE code = $1::integer AND id = $2::bigint AND ended_at IS NOT NULL;

-- name: touch_group
SELECT touch_group(code_ => $1::integer, id_ => $2::bigint, x => $3::smallint, member_keys => ARRAY[$4::bytea, $5::bytea],
                   far => $6::smallint, b_keys => ARRAY[$7::bytea, $8::bytea], callee_ => $9::bytea);
