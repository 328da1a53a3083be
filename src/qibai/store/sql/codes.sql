-- name: add_codes
INSERT INTO code (code, tenant_id, platform_id, province)
SELECT c, %(tenant_id)s::integer, (SELECT platform_id FROM tenant WHERE id = %(tenant_id)s::integer),
       %(province)s::text
FROM unnest(%(codes)s::integer[]) AS c
ON CONFLICT DO NOTHING
RETURNING code;

-- name: list_codes
SELECT c.code, c.tenant_id, t.name AS tenant, c.province, c.enabled, c.created_at, c.state, c.provinces,
       p.name AS platform, e.number AS certificate
FROM code c
LEFT JOIN tenant t ON t.id = c.tenant_id
LEFT JOIN platform p ON p.id = c.platform_id
LEFT JOIN certificate e ON e.id = c.certificate_id
WHERE c.code > %(after)s AND (%(tenant_id)s::integer IS NULL OR c.tenant_id = %(tenant_id)s)
  AND (%(platform)s::text IS NULL OR p.name = %(platform)s)
ORDER BY c.code
LIMIT %(limit)s::bigint;

-- name: codes_of_tenant
SELECT code, province, enabled FROM code WHERE tenant_id = %(tenant_id)s ORDER BY code;
