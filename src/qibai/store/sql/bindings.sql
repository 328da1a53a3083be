-- name: by_id
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM bindings_by_id(tenant => %(tenant)s::integer, codes => %(codes)s, ids => %(ids)s);

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
FROM binding_moment(now_ => %(now)s::timestamptz, code_ => %(code)s, id_ => %(id)s, serials => %(serials)s,
                    keys => %(keys)s, by_next => %(by_next)s);

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

-- name: epoch
SELECT write_id, extra_id, by_next FROM route_epoch();

-- name: clock
SELECT clock_timestamp();

-- name: free_serials
SELECT free_serials(now_ => %(now)s::timestamptz, code_ => %(code)s::integer, keys => %(keys)s, serials => %(serials)s);

-- name: bind_many
-- Binds if no right has changed since `version` was read, unless that is NULL. `counted`: quotas count the bindings.
SELECT outcome, id, other_code, other_id
FROM bind_many(
    now_ => %(now)s::timestamptz, quarantine => %(quarantine)s,
    tenant => CASE
        WHEN %(counted)s THEN quota_take(
            tenant => standing_gate(%(tenant)s::integer, %(version)s::bigint, %(until)s::timestamptz),
            now_ => %(now)s::timestamptz, scenes => %(p_scene)s, provinces_ => %(p_province)s, ends => %(p_expires)s)
        WHEN %(version)s::bigint IS NULL THEN %(tenant)s::integer
        ELSE standing_gate(%(tenant)s::integer, %(version)s::bigint, %(until)s::timestamptz) END,
    write_key => %(write)s::integer, extra_key => %(extra)s::integer,
    p_code => %(p_code)s, p_id => %(p_id)s, p_mode => %(p_mode)s, p_scene => %(p_scene)s, p_order => %(p_order)s,
    p_industrial => %(p_industrial)s, p_province => %(p_province)s, p_x => %(p_x)s, p_y => %(p_y)s, p_a => %(p_a)s,
    p_b => %(p_b)s, p_members => %(p_members)s, p_max_call => %(p_max_call)s, p_messages => %(p_messages)s,
    p_expires => %(p_expires)s,
    r_code => %(r_code)s, r_serial => %(r_serial)s, r_key => %(r_key)s, r_next => %(r_next)s, r_id => %(r_id)s,
    r_shown => %(r_shown)s, r_flags => %(r_flags)s, r_max_call => %(r_max_call)s, r_expires => %(r_expires)s,
    r_callee => %(r_callee)s, r_caller => %(r_caller)s,
    c_code => %(c_code)s, c_serial => %(c_serial)s, c_key => %(c_key)s, c_id => %(c_id)s,
    i_key => %(i_key)s, i_request => %(i_request)s, i_code => %(i_code)s, i_id => %(i_id)s);

-- name: give_quota
SELECT quota_give(tenant => %(tenant)s::integer, scenes => %(p_scene)s, provinces_ => %(p_province)s,
                  ends => %(p_expires)s);

-- name: release_many
SELECT outcome, code_, id_, at
FROM release_many(
    now_ => %(now)s::timestamptz, quarantine => %(quarantine)s, tenant => release_gate(%(tenant)s::integer),
    write_key => %(write)s::integer, extra_key => %(extra)s::integer,
    p_code => %(codes)s, p_id => %(ids)s, p_near => %(near)s, p_a => %(a)s, p_b => %(b)s, p_members => %(members)s,
    r_code => %(route_codes)s, r_serial => %(route_serials)s, r_key => %(route_keys)s, r_id => %(route_ids)s);

-- name: replays
SELECT key, request, code, binding_id FROM idempotency WHERE tenant_id = %(tenant)s AND key = ANY(%(keys)s);

-- name: current_version
SELECT standing_now();

-- name: move_quota
SELECT quota_moved(tenant => %(tenant)s::integer, scene_ => %(scene)s, province_ => %(province)s, old_end => %(was)s,
                   new_end => %(expires_at)s);
