-- name: papers
SELECT 'approval' AS kind, p.name AS platform, a.number, a.last_day, a.revoked_at
FROM approval a JOIN platform p ON p.id = a.platform_id
WHERE a.id = (SELECT max(id) FROM approval WHERE platform_id = a.platform_id)
UNION ALL
SELECT 'certificate', p.name, c.number, c.last_day, c.revoked_at
FROM certificate c JOIN platform p ON p.id = c.platform_id
WHERE EXISTS (SELECT FROM code WHERE certificate_id = c.id AND state <> 'returned')
ORDER BY 1, 2, 3;

-- name: codes
SELECT count(*) FILTER (WHERE certificate_id IS NULL), count(*) FILTER (WHERE NOT enabled),
       count(*) FILTER (WHERE state = 'draining')
FROM code WHERE state <> 'returned';
