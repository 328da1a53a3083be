-- name: merge_calls
INSERT INTO call AS c (code, id, node, started_at, tenant_id, binding_id, called, shown, caller, callee, max_call_s,
                       ringing_at, answered_at, session_expires, legs, ended_at, ended_by, sip_status, q850, reason,
                       end_seen)
SELECT code, id, node, started_at, tenant_id, binding_id, called, shown, caller, callee, max_call_s,
       ringing_at, answered_at, session_expires, legs, ended_at, ended_by, sip_status, q850, reason,
       CASE WHEN ended_at IS NOT NULL THEN reason <> 'lost' END
FROM unnest(%(code)s::integer[], %(id)s::bigint[], %(node)s::text[], %(started_at)s::timestamptz[],
            %(tenant_id)s::integer[], %(binding_id)s::bigint[], %(called)s::smallint[], %(shown)s::smallint[],
            %(caller)s::bytea[], %(callee)s::bytea[], %(max_call_s)s::integer[],
            %(ringing_at)s::timestamptz[], %(answered_at)s::timestamptz[], %(session_expires)s::integer[],
            %(legs)s::bytea[], %(ended_at)s::timestamptz[], %(ended_by)s::text[], %(sip_status)s::smallint[],
            %(q850)s::smallint[], %(reason)s::text[])
     AS new (code, id, node, started_at, tenant_id, binding_id, called, shown, caller, callee, max_call_s,
             ringing_at, answered_at, session_expires, legs, ended_at, ended_by, sip_status, q850, reason)
ORDER BY code, id
ON CONFLICT (code, id) DO UPDATE SET
    started_at = least(c.started_at, excluded.started_at),
    tenant_id = coalesce(c.tenant_id, excluded.tenant_id),
    binding_id = coalesce(c.binding_id, excluded.binding_id),
    called = coalesce(c.called, excluded.called),
    shown = coalesce(c.shown, excluded.shown),
    caller = coalesce(c.caller, excluded.caller),
    callee = coalesce(c.callee, excluded.callee),
    max_call_s = coalesce(c.max_call_s, excluded.max_call_s),
    ringing_at = least(c.ringing_at, excluded.ringing_at),
    answered_at = least(c.answered_at, excluded.answered_at),
    session_expires = coalesce(c.session_expires, excluded.session_expires),
    legs = coalesce(c.legs, excluded.legs),
    (ended_at, ended_by, sip_status, q850, reason, end_seen) = (
        SELECT e.ended_at, e.ended_by, e.sip_status, e.q850, e.reason, e.end_seen
        FROM (VALUES (c.ended_at, c.ended_by, c.sip_status, c.q850, c.reason, c.end_seen),
                     (excluded.ended_at, excluded.ended_by, excluded.sip_status, excluded.q850, excluded.reason,
                      excluded.end_seen))
             AS e (ended_at, ended_by, sip_status, q850, reason, end_seen)
        ORDER BY call_end_rank(e.ended_at, e.reason) DESC, e.ended_at, e.reason, e.ended_by LIMIT 1);

-- name: open_calls
SELECT code, id, node, started_at, answered_at, max_call_s, session_expires, legs
FROM call WHERE node = %(node)s AND ended_at IS NULL;

-- name: list_calls
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850, reason, end_seen
FROM call
WHERE tenant_id = %(tenant_id)s
  AND (%(before)s::bigint IS NULL OR id < %(before)s)
  AND (%(after)s::bigint IS NULL OR id > %(after)s)
  AND (%(code)s::integer IS NULL OR code = %(code)s)
  AND (%(binding_id)s::bigint IS NULL OR binding_id = %(binding_id)s)
  AND (%(serial)s::smallint IS NULL OR called = %(serial)s OR shown = %(serial)s)
  AND (%(since)s::timestamptz IS NULL OR started_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR started_at < %(until)s)
  AND (%(live)s::boolean IS NULL OR (ended_at IS NULL) = %(live)s)
ORDER BY id DESC, code
LIMIT %(limit)s;

-- name: get_call
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850, reason, end_seen
FROM call WHERE code = %(code)s AND id = %(id)s AND tenant_id = %(tenant_id)s;

-- name: order_termination
INSERT INTO call_order (code, call_id, node) VALUES (%(code)s, %(id)s, %(node)s)
ON CONFLICT (code, call_id) DO UPDATE SET asked_at = now(), done_at = NULL;

-- name: notify_termination
SELECT pg_notify('qibai_call_order', %(node)s);

-- name: pending_orders
SELECT code, call_id FROM call_order WHERE node = %(node)s AND done_at IS NULL;

-- name: order_done
UPDATE call_order SET done_at = now() WHERE code = %(code)s AND call_id = %(id)s;
