-- name: due
SELECT NOT EXISTS (SELECT FROM pool_sample WHERE at > now() - make_interval(secs => %(interval)s));

-- name: strata
-- Without a calendar a code need not be opened.
SELECT coalesce(tenant_id, 0) AS tenant,
       CASE WHEN provinces = '{}' AND province IS NOT NULL THEN ARRAY[province] ELSE provinces END AS provinces,
       enabled AND (state IN ('opened', 'in_use') OR (state = 'assigned' AND NOT %(ruled)s)) AS usable,
       count(*), (array_agg(code ORDER BY random()))[1:%(most)s] AS codes
FROM code WHERE state <> 'returned'
GROUP BY 1, 2, 3;

-- name: count_code
WITH held AS (
    SELECT r.serial, b.scene, bool_or(r.ends_at > now()) AS live
    FROM route r LEFT JOIN binding b ON b.code = r.code AND b.id = r.binding_id
    WHERE r.code = %(code)s AND r.free_at > now()
    GROUP BY r.serial, b.scene),
numbers AS (SELECT serial, bool_or(live) AS live FROM held GROUP BY serial)
SELECT '', count(*) FILTER (WHERE live), count(*) FILTER (WHERE NOT live),
       (SELECT count(*) FROM number_lock l
         WHERE l.code = %(code)s AND NOT EXISTS (SELECT FROM numbers n WHERE n.serial = l.serial))
FROM numbers
UNION ALL
SELECT scene, count(*) FILTER (WHERE live), count(*) FILTER (WHERE NOT live), 0
FROM held WHERE scene IS NOT NULL GROUP BY scene;

-- name: add_sample
INSERT INTO pool_sample (at, codes, counted) VALUES (%(at)s, %(codes)s, %(counted)s);

-- name: add_figure
INSERT INTO pool_figure (tenant_id, province, scene, at, total, free, bound, quarantined, locked)
VALUES (%(tenant)s, %(province)s, %(scene)s, %(at)s, %(total)s, %(free)s, %(bound)s, %(quarantined)s, %(locked)s);

-- name: forget_figures
DELETE FROM pool_figure WHERE at < now() - make_interval(days => %(days)s);

-- name: forget_samples
DELETE FROM pool_sample WHERE at < now() - make_interval(days => %(days)s);

-- name: latest
SELECT f.at, coalesce(t.name, '') AS tenant, coalesce(p.name, '') AS platform, f.province, f.scene,
       f.total, f.free, f.bound, f.quarantined, f.locked, trend.ats, trend.used
FROM (SELECT max(at) AS at FROM pool_sample) last
JOIN pool_figure f ON f.at = last.at
LEFT JOIN tenant t ON t.id = f.tenant_id
LEFT JOIN platform p ON p.id = t.platform_id
LEFT JOIN LATERAL (
    SELECT array_agg(extract(epoch FROM h.at)::float8 ORDER BY h.at) AS ats,
           array_agg(h.bound + h.quarantined ORDER BY h.at) AS used
    FROM pool_figure h
    WHERE h.tenant_id = f.tenant_id AND h.province = f.province AND h.scene = f.scene
      AND h.at >= last.at - make_interval(hours => %(hours)s)) trend ON f.scene = ''
WHERE (%(tenant)s::integer IS NULL OR f.tenant_id = %(tenant)s)
  AND (%(platform)s::integer IS NULL OR t.platform_id = %(platform)s)
ORDER BY t.name NULLS FIRST, f.province, f.scene;
