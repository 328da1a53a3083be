-- name: merge_calls
-- Earliest times, known values, and the end that wins. Sealed columns stay as they are once filled: the rotation of
-- keys may have sealed them again since. A call that was refused for want of a binding is its code's owner's.
INSERT INTO call AS c (
    code, id, node, started_at, tenant_id, binding_id, called, shown, dialled, caller, callee, ringing_at,
    answered_at, refreshed_at, session_expires, max_call_s, media_id, ended_at, ended_by, sip_status, q850, reason,
    end_seen, talked_ms, legs, caller_peer, callee_peer, gave_up)
SELECT
    w.code, w.id, w.node, w.started_at, coalesce(w.tenant_id, k.tenant_id), w.binding_id, w.called, w.shown,
    w.dialled, w.caller, w.callee, w.ringing_at, w.answered_at, w.refreshed_at, w.session_expires, w.max_call_s,
    w.media_id, w.ended_at, w.ended_by, w.sip_status, w.q850, w.reason, w.end_seen, w.talked_ms, w.legs,
    w.caller_peer, w.callee_peer, w.gave_up
FROM (SELECT
          unnest(%(code)s) AS code, unnest(%(id)s) AS id, unnest(%(node)s) AS node,
          unnest(%(started_at)s) AS started_at, unnest(%(tenant_id)s) AS tenant_id,
          unnest(%(binding_id)s) AS binding_id, unnest(%(called)s) AS called, unnest(%(shown)s) AS shown,
          unnest(%(dialled)s) AS dialled, unnest(%(caller)s) AS caller, unnest(%(callee)s) AS callee,
          unnest(%(ringing_at)s) AS ringing_at, unnest(%(answered_at)s) AS answered_at,
          unnest(%(refreshed_at)s) AS refreshed_at, unnest(%(session_expires)s) AS session_expires,
          unnest(%(max_call_s)s) AS max_call_s, unnest(%(media_id)s) AS media_id,
          unnest(%(ended_at)s) AS ended_at, unnest(%(ended_by)s) AS ended_by,
          unnest(%(sip_status)s) AS sip_status, unnest(%(q850)s) AS q850, unnest(%(reason)s) AS reason,
          unnest(%(end_seen)s) AS end_seen, unnest(%(talked_ms)s) AS talked_ms, unnest(%(legs)s) AS legs, unnest(%(caller_peer)s) AS caller_peer,
          unnest(%(callee_peer)s) AS callee_peer, unnest(%(gave_up)s) AS gave_up) w
LEFT JOIN code k ON k.code = w.code AND w.tenant_id IS NULL AND w.binding_id IS NULL AND w.called IS NOT NULL
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
                 THEN least(c.ringing_at, excluded.ringing_at, c.answered_at, excluded.answered_at,
                            CASE WHEN c.end_seen THEN c.ended_at END,
                            CASE WHEN excluded.end_seen THEN excluded.ended_at END) END,
    answered_at = CASE WHEN coalesce(c.answered_at, excluded.answered_at) IS NOT NULL
                  THEN least(c.answered_at, excluded.answered_at,
                             CASE WHEN c.end_seen THEN c.ended_at END,
                             CASE WHEN excluded.end_seen THEN excluded.ended_at END) END,
    refreshed_at = greatest(c.refreshed_at, excluded.refreshed_at),
    session_expires = CASE WHEN c.refreshed_at IS NULL OR excluded.refreshed_at > c.refreshed_at
                      THEN excluded.session_expires ELSE c.session_expires END,
    max_call_s = least(c.max_call_s, excluded.max_call_s),
    media_id = coalesce(c.media_id, excluded.media_id),
    caller_peer = least(c.caller_peer COLLATE "C", excluded.caller_peer COLLATE "C"),
    callee_peer = least(c.callee_peer COLLATE "C", excluded.callee_peer COLLATE "C"),
    gave_up = call_gave_up(c.gave_up, excluded.gave_up),
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
    talked_ms = CASE WHEN call_end_wins(excluded.end_seen, excluded.ended_at, excluded.ended_by, excluded.reason,
                                       c.end_seen, c.ended_at, c.ended_by, c.reason)
               THEN excluded.talked_ms ELSE c.talked_ms END,
    legs = CASE WHEN c.ended_at IS NOT NULL OR excluded.ended_at IS NOT NULL THEN NULL
                WHEN c.refreshed_at IS NULL OR excluded.refreshed_at > c.refreshed_at THEN excluded.legs
                ELSE c.legs END;

-- name: open_calls
SELECT code, id, node, started_at, ringing_at, answered_at, refreshed_at, session_expires, max_call_s, media_id, legs,
       caller_peer, callee_peer, gave_up
FROM call WHERE node = %(node)s AND ended_at IS NULL;

-- name: patience
SET LOCAL statement_timeout = 2000;

-- name: node_with_number
SELECT node FROM call
WHERE started_at > now() - interval '1 hour' AND node <> %(but)s AND (id >> 14 & 127) = %(number)s
LIMIT 1;

-- name: columns
-- A BYE ends a call as answered. Kamailio may have lost the answer before: then the record has none, and the call was not
-- answered. Events come in any order, so only who reads the record can know.
code, id, tenant_id, binding_id, called, shown, caller, callee, node, started_at, ringing_at, answered_at,
ended_at, ended_by, sip_status, q850,
CASE WHEN reason = 'answered' AND answered_at IS NULL THEN 'no_answer' ELSE reason END AS reason,
end_seen, dialled, caller_peer, callee_peer, gave_up, talked_ms;

-- name: fits
-- Refused: the platform connected nobody. A call that went out has a callee from its decision on.
(%(before)s::bigint IS NULL OR id < %(before)s)
AND (%(after)s::bigint IS NULL OR id > %(after)s)
AND (%(code)s::integer IS NULL OR code = %(code)s)
AND (%(binding_id)s::bigint IS NULL OR binding_id = %(binding_id)s)
AND (%(serial)s::smallint IS NULL OR called = %(serial)s OR shown = %(serial)s)
AND (%(since)s::timestamptz IS NULL OR started_at >= %(since)s)
AND (%(until)s::timestamptz IS NULL OR started_at < %(until)s)
AND (%(live)s::boolean IS NULL OR (ended_at IS NULL) = %(live)s)
AND (%(reason)s::text IS NULL
     OR CASE WHEN reason = 'answered' AND answered_at IS NULL THEN 'no_answer' ELSE reason END = %(reason)s)
AND (%(peer)s::text IS NULL OR caller_peer = %(peer)s OR callee_peer = %(peer)s
     OR EXISTS (SELECT FROM unnest(string_to_array(gave_up, E'\n')) AS line WHERE substr(line, 5) = %(peer)s))
AND (%(refused)s::boolean IS NULL OR (ended_by = 'platform' AND callee IS NULL AND ended_at IS NOT NULL) = %(refused)s);

-- name: list_calls
SELECT {columns}
FROM call
WHERE tenant_id = %(tenant_id)s AND {fits}
ORDER BY id DESC, code
LIMIT %(limit)s;

-- name: list_all_calls
-- Each tenant's newest by the index, then the newest of these; and of calls that are no tenant's.
SELECT n.*, t.name AS tenant
FROM (SELECT c.* FROM tenant o CROSS JOIN LATERAL (
          SELECT {columns} FROM call WHERE tenant_id = o.id AND {fits} ORDER BY id DESC LIMIT %(limit)s) c
       WHERE %(platform_id)s::integer IS NULL OR o.platform_id = %(platform_id)s
      UNION ALL
      (SELECT {columns} FROM call
        WHERE tenant_id IS NULL AND %(platform_id)s::integer IS NULL AND {fits} ORDER BY id DESC LIMIT %(limit)s)) n
LEFT JOIN tenant t ON t.id = n.tenant_id
ORDER BY n.id DESC, n.code
LIMIT %(limit)s;

-- name: get_call
SELECT {columns}
FROM call WHERE code = %(code)s AND id = %(id)s AND tenant_id = %(tenant_id)s;

-- name: get_any_call
SELECT {columns}, (SELECT name FROM tenant t WHERE t.id = call.tenant_id) AS tenant
FROM call
WHERE code = %(code)s AND id = %(id)s
  AND (%(platform_id)s::integer IS NULL
       OR tenant_id IN (SELECT t.id FROM tenant t WHERE t.platform_id = %(platform_id)s));

-- name: order_termination
INSERT INTO call_order (code, call_id, node) VALUES (%(code)s, %(id)s, %(node)s)
ON CONFLICT (code, call_id) DO UPDATE SET asked_at = now(), done_at = NULL;

-- name: notify_termination
SELECT pg_notify('qibai_call_order', %(node)s);

-- name: pending_orders
SELECT code, call_id FROM call_order WHERE node = %(node)s AND done_at IS NULL;

-- name: order_done
UPDATE call_order SET done_at = now() WHERE code = %(code)s AND call_id = %(id)s;
