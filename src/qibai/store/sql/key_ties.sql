-- name: untied
SELECT k.id, k.kind, k.tenant_id, k.platform_id, k.person, k.secret
FROM api_key_untied JOIN api_key k USING (id) FOR UPDATE OF k;

-- name: tie
UPDATE api_key SET secret = %(secret)s WHERE id = %(id)s;

-- name: tied
DELETE FROM api_key_untied WHERE id = %(id)s;

-- name: left
SELECT EXISTS (SELECT FROM api_key_untied);
