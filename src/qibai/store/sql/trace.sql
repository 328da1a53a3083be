-- name: bindings_at
-- The code's bindings up to then are read by their key; an index on numbers would cost every bind more than a trace is
-- worth. Binding ids grow with time.
SELECT b.code, b.id, b.tenant_id, b.mode, b.scene, b.order_id, b.industrial_id, b.province, b.x, b.y, b.a, b.b,
       b.members, b.max_call_s, b.created_at, b.expires_at, b.released_at, b.messages, t.name AS tenant, p.name AS platform
FROM binding b
LEFT JOIN tenant t ON t.id = b.tenant_id
LEFT JOIN platform p ON p.id = t.platform_id
WHERE b.code = %(code)s AND b.id < %(before)s AND (b.x = %(serial)s OR b.y = %(serial)s)
  AND b.created_at <= %(until)s AND least(b.released_at, b.expires_at) >= %(since)s
ORDER BY b.id DESC;

-- name: calls_at
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850,
       CASE WHEN reason = 'answered' AND answered_at IS NULL THEN 'no_answer' ELSE reason END AS reason,
       end_seen, caller_peer
FROM call
WHERE code = %(code)s AND id BETWEEN %(after)s AND %(before)s AND (called = %(serial)s OR shown = %(serial)s)
  AND started_at <= %(until)s AND coalesce(ended_at, 'infinity') >= %(since)s
ORDER BY id DESC;

-- name: unbound_at
-- Calls to the number that belong to no binding: they were refused.
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850, reason, end_seen, caller_peer
FROM call
WHERE code = %(code)s AND id BETWEEN %(after)s AND %(before)s AND called = %(serial)s AND binding_id IS NULL
  AND started_at BETWEEN %(since)s AND %(until)s
ORDER BY id DESC
LIMIT %(limit)s;

-- name: binding
SELECT code, id, tenant_id, mode, scene, order_id, industrial_id, province, x, y, a, b, members, max_call_s,
       created_at, expires_at, released_at, messages
FROM binding WHERE code = %(code)s AND id = %(id)s;

-- name: call
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850,
       CASE WHEN reason = 'answered' AND answered_at IS NULL THEN 'no_answer' ELSE reason END AS reason,
       end_seen
FROM call WHERE code = %(code)s AND id = %(id)s;
