-- name: lock
SELECT pg_advisory_xact_lock(7064);

-- name: forget
WITH old AS (DELETE FROM party_trace_refused WHERE hour < clock_timestamp() - interval '8 days')
DELETE FROM party_trace WHERE at < clock_timestamp() - interval '8 days';

-- name: ages
SELECT extract(epoch FROM clock_timestamp() - at)::float8
FROM party_trace
WHERE (actor = %(actor)s OR via = %(via)s) AND at > clock_timestamp() - interval '1 day'
ORDER BY at DESC;

-- name: add
INSERT INTO party_trace (actor, via, at) VALUES (%(actor)s, %(via)s, clock_timestamp());

-- name: refuse
INSERT INTO party_trace_refused AS r (actor, via, hour, count, last_at)
VALUES (%(actor)s, %(via)s, date_trunc('hour', clock_timestamp()), 1, clock_timestamp())
ON CONFLICT (actor, via, hour) DO UPDATE SET count = r.count + 1, last_at = excluded.last_at
RETURNING count;

-- name: last_day
SELECT actor, via, sum(answered)::integer, sum(refused)::integer
FROM (SELECT actor, via, 1 AS answered, 0 AS refused FROM party_trace WHERE at > clock_timestamp() - interval '1 day'
      UNION ALL
      SELECT actor, via, 0, count FROM party_trace_refused WHERE last_at > clock_timestamp() - interval '1 day') AS t
GROUP BY actor, via
ORDER BY 4 DESC, 3 DESC, actor, via;
