-- name: by_id
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM bindings_by_id(%(tenant)s::integer, %(codes)s, %(ids)s);

-- name: page
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM binding
WHERE tenant_id = %(tenant)s /*filters*/
ORDER BY id DESC, code DESC
LIMIT %(limit)s;

-- name: where_after
id <= %(cursor_id)s AND (id, code) < (%(cursor_id)s, %(cursor_code)s);

-- name: where_order
order_id = %(order_id)s;

-- name: where_number
code = %(code)s AND (x = %(serial)s OR y = %(serial)s);

-- name: where_mode
mode = %(mode)s;

-- name: where_active
released_at IS NULL AND expires_at > %(now)s;

-- name: where_released
released_at IS NOT NULL;

-- name: where_expired
released_at IS NULL AND expires_at <= %(now)s;

-- name: of_number
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM binding
WHERE code = %(code)s AND id IN (
    SELECT binding_id FROM route WHERE code = %(code)s AND serial = %(serial)s AND free_at > %(now)s)
ORDER BY id DESC;

-- name: pairs_of_number
SELECT binding_id, shown, flags, ends_at, free_at, callee, caller
FROM route
WHERE code = %(code)s AND serial = %(serial)s AND free_at > %(now)s
ORDER BY ends_at DESC, binding_id DESC;

-- name: lock
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM binding
WHERE code = %(code)s AND id = %(id)s AND tenant_id = %(tenant)s
FOR UPDATE;

-- name: lock_route
SELECT callee FROM route
WHERE code = %(code)s AND serial = %(serial)s AND caller_key = %(key)s AND binding_id = %(id)s AND ends_at > %(now)s
FOR UPDATE;

-- name: moment
SELECT pairs, moment
FROM binding_moment(%(now)s::timestamptz, %(code)s, %(id)s, %(serials)s, %(keys)s, %(by_next)s);

-- name: settle
SELECT FROM binding WHERE code = %(code)s AND id = %(id)s FOR SHARE;

-- name: set_expiry
UPDATE binding SET expires_at = %(expires_at)s WHERE code = %(code)s AND id = %(id)s;

-- name: extend_routes
UPDATE route SET ends_at = %(expires_at)s, free_at = %(expires_at)s + %(quarantine)s
WHERE code = %(code)s AND serial = %(serial)s AND caller_key = ANY(%(keys)s) AND binding_id = %(id)s
  AND ends_at > %(now)s;

-- name: set_parties
UPDATE binding SET a = %(a)s, b = %(b)s, members = %(members)s WHERE code = %(code)s AND id = %(id)s;

-- name: end_route
UPDATE route SET ends_at = 'epoch', free_at = %(now)s + %(quarantine)s
WHERE code = %(code)s AND serial = %(serial)s AND caller_key = %(key)s AND binding_id = %(id)s
  AND ends_at > %(now)s;

-- name: set_callee
UPDATE route SET callee = %(callee)s
WHERE code = %(code)s AND serial = %(serial)s AND caller_key = ANY(%(keys)s) AND binding_id = %(id)s
  AND ends_at > %(now)s;

-- name: taken_elsewhere
SELECT count(*) FROM route
WHERE code = %(code)s AND serial = ANY(%(serials)s) AND caller_key = ANY(%(keys)s) AND free_at > %(now)s
  AND binding_id <> %(id)s;

-- name: add_route
INSERT INTO route AS r (code, serial, caller_key, next_key, binding_id, tenant_id, shown, flags, max_call_s, ends_at,
                        free_at, callee, caller)
VALUES (%(code)s, %(serial)s, %(key)s, %(next)s, %(id)s, %(tenant)s, %(shown)s, %(flags)s, %(max_call_s)s,
        %(expires_at)s, %(expires_at)s + %(quarantine)s, %(callee)s, %(caller)s)
ON CONFLICT /*arbiter*/ DO UPDATE
SET caller_key = excluded.caller_key, next_key = excluded.next_key, binding_id = excluded.binding_id,
    tenant_id = excluded.tenant_id, shown = excluded.shown, flags = excluded.flags,
    max_call_s = excluded.max_call_s, ends_at = excluded.ends_at, free_at = excluded.free_at,
    callee = excluded.callee, caller = excluded.caller
WHERE r.free_at <= %(now)s OR r.binding_id = excluded.binding_id;

-- name: release_many
SELECT outcome, code_, id_, at
FROM release_many(%(now)s::timestamptz, %(quarantine)s, release_gate(%(tenant)s::integer), %(write)s::integer,
                  %(extra)s::integer, %(codes)s, %(ids)s, %(near)s, %(a)s, %(b)s, %(members)s,
                  %(route_codes)s, %(route_serials)s, %(route_keys)s, %(route_ids)s);

-- name: replays
SELECT key, request, code, binding_id FROM idempotency WHERE tenant_id = %(tenant)s AND key = ANY(%(keys)s);

-- name: current_version
SELECT standing_now();

-- name: move_quota
SELECT quota_moved(%(tenant)s::integer, %(scene)s, %(province)s, %(was)s, %(expires_at)s);
