-- name: span
SELECT now() - make_interval(secs => %(seconds)s), now();

-- name: tenants
SELECT id FROM tenant
WHERE (%(tenant_id)s::integer IS NULL OR id = %(tenant_id)s)
  AND (%(platform_id)s::integer IS NULL OR platform_id = %(platform_id)s);

-- name: calls
SELECT CASE WHEN reason = 'source_unknown' THEN 'strangers' ELSE caller_peer END, callee_peer, callee IS NOT NULL,
       answered_at IS NOT NULL, ringing_at IS NOT NULL, ended_at IS NOT NULL,
       CASE WHEN reason = 'answered' AND answered_at IS NULL THEN 'no_answer' ELSE reason END, count(*),
       coalesce(sum(greatest(0, coalesce(talked_ms / 1000.0, extract(epoch FROM ended_at - answered_at)))), 0)::float8
FROM call
WHERE id >= %(first_id)s AND started_at >= %(since)s
  AND (tenant_id = ANY (%(tenants)s) OR (%(everyone)s AND tenant_id IS NULL))
GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- name: delays
SELECT avg(delay)::float8, percentile_cont(0.95) WITHIN GROUP (ORDER BY delay)
FROM (SELECT greatest(0, extract(epoch FROM ringing_at - started_at))::float8 AS delay
      FROM call
      WHERE id >= %(first_id)s AND started_at >= %(since)s AND ringing_at IS NOT NULL
        AND (tenant_id = ANY (%(tenants)s) OR (%(everyone)s AND tenant_id IS NULL))) d;

-- name: gave_up
SELECT line, count(*)
FROM call CROSS JOIN LATERAL unnest(string_to_array(gave_up, E'\n')) AS line
WHERE id >= %(first_id)s AND started_at >= %(since)s AND gave_up IS NOT NULL
  AND (tenant_id = ANY (%(tenants)s) OR (%(everyone)s AND tenant_id IS NULL))
GROUP BY line;

-- name: links
SELECT in_link, out_link, state, out_tries > 0 AND final_at IS NULL, count(*)
FROM message
WHERE id >= %(first_id)s AND created_at >= %(since)s AND whole_id IS NULL
  AND (tenant_id = ANY (%(tenants)s) OR (%(everyone)s AND tenant_id IS NULL))
GROUP BY 1, 2, 3, 4;

-- name: patience
SET LOCAL statement_timeout = 2000;

-- name: bindings
SELECT t.name, count(*)
FROM binding b JOIN tenant t ON t.id = b.tenant_id
WHERE b.tenant_id = ANY (%(tenants)s) AND b.released_at IS NULL AND b.expires_at > now()
GROUP BY t.name
ORDER BY t.name;

-- name: codes
SELECT k.code, t.name, 10000 - count(DISTINCT r.serial)
FROM code k JOIN tenant t ON t.id = k.tenant_id
LEFT JOIN route r ON r.code = k.code AND r.free_at > now()
WHERE k.tenant_id = ANY (%(tenants)s) AND k.state <> 'returned'
GROUP BY k.code, t.name
ORDER BY 3, 1
LIMIT %(most)s;
