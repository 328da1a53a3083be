-- name: merge_calls
-- Earliest times, known values, and the end that wins. Sealed columns stay as they are once filled: the rotation of
-- keys may have sealed them anew since.
INSERT INTO call AS c (code, id, node, started_at, tenant_id, binding_id, called, shown, dialled, caller, callee,
                       ringing_at, answered_at, refreshed_at, session_expires, max_call_s, media_id, ended_at,
                       ended_by, sip_status, q850, reason, end_seen, legs)
SELECT unnest(%(code)s), unnest(%(id)s), unnest(%(node)s), unnest(%(started_at)s), unnest(%(tenant_id)s),
       unnest(%(binding_id)s), unnest(%(called)s), unnest(%(shown)s), unnest(%(dialled)s), unnest(%(caller)s), unnest(%(callee)s),
       unnest(%(ringing_at)s), unnest(%(answered_at)s), unnest(%(refreshed_at)s), unnest(%(session_expires)s),
       unnest(%(max_call_s)s), unnest(%(media_id)s), unnest(%(ended_at)s), unnest(%(ended_by)s),
       unnest(%(sip_status)s), unnest(%(q850)s), unnest(%(reason)s), unnest(%(end_seen)s), unnest(%(legs)s)
ON CONFLICT (code, id) DO UPDATE SET
    node = CASE WHEN (excluded.started_at, excluded.node COLLATE "C") < (c.started_at, c.node COLLATE "C")
           THEN excluded.node ELSE c.node END,
    started_at = least(c.started_at, excluded.started_at),
    tenant_id = least(c.tenant_id, excluded.tenant_id),
    binding_id = least(c.binding_id, excluded.binding_id),
    called = least(c.called, excluded.called),
    shown = least(c.shown, excluded.shown),
    dialled = coalesce(c.dialled, excluded.dialled),
    caller = coalesce(c.caller, excluded.caller),
    callee = coalesce(c.callee, excluded.callee),
    ringing_at = CASE WHEN coalesce(c.ringing_at, excluded.ringing_at) IS NOT NULL
                 THEN least(c.ringing_at, excluded.ringing_at, c.answered_at, excluded.answered_at) END,
    answered_at = least(c.answered_at, excluded.answered_at),
    refreshed_at = greatest(c.refreshed_at, excluded.refreshed_at),
    session_expires = CASE WHEN c.refreshed_at IS NULL OR excluded.refreshed_at > c.refreshed_at
                      THEN excluded.session_expires ELSE c.session_expires END,
    max_call_s = least(c.max_call_s, excluded.max_call_s),
    media_id = coalesce(c.media_id, excluded.media_id),
    ended_at = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.ended_at ELSE c.ended_at END,
    ended_by = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.ended_by ELSE c.ended_by END,
    sip_status = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.sip_status ELSE c.sip_status END,
    q850 = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.q850 ELSE c.q850 END,
    reason = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.reason ELSE c.reason END,
    end_seen = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.end_seen ELSE c.end_seen END,
    legs = CASE WHEN c.ended_at IS NOT NULL OR excluded.ended_at IS NOT NULL THEN NULL
                WHEN c.refreshed_at IS NULL OR excluded.refreshed_at > c.refreshed_at THEN excluded.legs
                ELSE c.legs END;

-- name: open_calls
SELECT code, id, node, started_at, answered_at, refreshed_at, session_expires, max_call_s, media_id, legs
FROM call WHERE node = %(node)s AND ended_at IS NULL;

-- name: patience
SET LOCAL statement_timeout = 2000;

-- name: node_with_number
SELECT node FROM call
WHERE started_at > now() - interval '1 hour' AND node <> %(but)s AND (id >> 14 & 127) = %(number)s
LIMIT 1;

-- name: list_calls
SELECT code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
       ended_at, ended_by, sip_status, q850, reason, end_seen, dialled
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
       ended_at, ended_by, sip_status, q850, reason, end_seen, dialled
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
