-- name: add
INSERT INTO key_read AS r (key_id, numbers, last_at)
SELECT k.id, n.numbers, clock_timestamp()
FROM unnest(%(keys)s::text[], %(numbers)s::bigint[]) AS n (id, numbers) JOIN api_key k USING (id)
ORDER BY k.id
ON CONFLICT (key_id) DO UPDATE SET numbers = r.numbers + excluded.numbers, last_at = excluded.last_at;

-- name: of_tenant
SELECT r.key_id, r.numbers, r.last_at
FROM key_read r JOIN api_key k ON k.id = r.key_id
WHERE k.tenant_id = %(tenant_id)s;

-- name: by_tenant
SELECT t.name, sum(r.numbers)::bigint
FROM key_read r JOIN api_key k ON k.id = r.key_id JOIN tenant t ON t.id = k.tenant_id
GROUP BY t.name
ORDER BY t.name;
