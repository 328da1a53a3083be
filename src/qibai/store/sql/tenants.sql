-- name: add_tenant
INSERT INTO tenant (name) VALUES (%(name)s)
RETURNING id, name, disabled_at, created_at;

-- name: list_tenants
SELECT id, name, disabled_at, created_at FROM tenant ORDER BY id;

-- name: find_tenant
SELECT id, name, disabled_at, created_at FROM tenant WHERE name = %(name)s;

-- name: disable_tenant
UPDATE tenant SET disabled_at = coalesce(disabled_at, now()) WHERE name = %(name)s
RETURNING id, name, disabled_at, created_at;

-- name: enable_tenant
UPDATE tenant SET disabled_at = NULL WHERE name = %(name)s
RETURNING id, name, disabled_at, created_at;

-- name: add_key
INSERT INTO api_key (id, tenant_id, platform_id, person, kind, digest, secret)
VALUES (%(id)s, %(tenant_id)s, %(platform_id)s, %(person)s, %(kind)s, %(digest)s, %(secret)s);

-- name: find_key
SELECT k.id, k.kind, k.tenant_id, t.name AS tenant, k.platform_id, p.name AS platform, k.person, k.digest, k.secret,
       k.created_at, k.revoked_at, t.disabled_at IS NOT NULL AS tenant_disabled
FROM api_key k LEFT JOIN tenant t ON t.id = k.tenant_id LEFT JOIN platform p ON p.id = k.platform_id
WHERE k.id = %(id)s;

-- name: hold_key
SELECT k.id, k.kind, k.tenant_id, t.name AS tenant, k.platform_id, p.name AS platform, k.person, k.digest, k.secret,
       k.created_at, k.revoked_at, t.disabled_at IS NOT NULL AS tenant_disabled
FROM api_key k LEFT JOIN tenant t ON t.id = k.tenant_id LEFT JOIN platform p ON p.id = k.platform_id
WHERE k.id = %(id)s
FOR SHARE OF k;

-- name: list_keys
SELECT k.id, k.kind, k.tenant_id, t.name AS tenant, k.platform_id, p.name AS platform, k.person, k.digest, k.secret,
       k.created_at, k.revoked_at, t.disabled_at IS NOT NULL AS tenant_disabled
FROM api_key k LEFT JOIN tenant t ON t.id = k.tenant_id LEFT JOIN platform p ON p.id = k.platform_id
WHERE %(tenant_id)s::integer IS NULL OR k.tenant_id = %(tenant_id)s
ORDER BY k.created_at, k.id;

-- name: revoke_key
UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = %(id)s
RETURNING id;

-- name: remember_nonces
INSERT INTO nonce (key_id, nonce)
SELECT * FROM unnest(%(keys)s::text[], %(nonces)s::text[])
ON CONFLICT DO NOTHING
RETURNING key_id, nonce;
