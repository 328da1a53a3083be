-- name: known
SELECT * FROM existing_known(codes => %(codes)s, keys => %(keys)s, by_next => %(by_next)s, now_ => %(now)s);

-- name: old_numbers
SELECT * FROM existing_numbers(codes => %(codes)s, first => %(first)s, behind => %(behind)s,
                               by_next => (SELECT phase = 2 FROM hash_rotation));

-- name: forget_free
DELETE FROM existing_route r
USING (SELECT unnest(%(codes)s::integer[]) AS code, unnest(%(keys)s::bytea[]) AS key) w
WHERE r.code = w.code AND (r.caller_key = w.key OR r.next_key = w.key) AND r.free_at <= %(now)s;

-- name: set_new
SELECT existing_moved(
    b_code => %(homes)s, b_id => %(ids)s, b_new_code => %(codes)s, b_new_id => %(new_ids)s,
    r_code => %(route_codes)s, r_key => %(keys)s, r_new_code => %(route_new)s, r_new_id => %(route_ids)s,
    r_serial => %(serials)s, by_next => %(by_next)s);

-- name: lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: begin_business
INSERT INTO existing_business (tenant_id) VALUES (%(tenant)s) ON CONFLICT DO NOTHING;

-- name: begin
INSERT INTO migration AS m (tenant_id, digest, file, batch) VALUES (%(tenant)s, %(digest)s, %(file)s, %(batch)s)
ON CONFLICT ON CONSTRAINT migration_file_key DO UPDATE SET file = excluded.file
RETURNING id, tenant_id, file, batch, began_at, checked_at, total, finished_at;

-- name: batches
SELECT number, done, moved + kept + earlier + rejected FROM migration_batch WHERE migration_id = %(id)s;

-- name: note_batch
INSERT INTO migration_batch AS b (migration_id, number, moved, kept, earlier, rejected, done)
VALUES (%(id)s, %(number)s, %(moved)s, %(kept)s, %(earlier)s, %(rejected)s, %(done)s)
ON CONFLICT (migration_id, number) DO UPDATE
SET moved = b.moved + excluded.moved, kept = excluded.kept, rejected = excluded.rejected, done = excluded.done,
    earlier = greatest(excluded.earlier - b.moved, 0);

-- name: forget_rejects
DELETE FROM migration_reject
WHERE migration_id = %(id)s AND place BETWEEN %(first)s AND %(last)s AND NOT checked;

-- name: checked_rejects
SELECT place FROM migration_reject WHERE migration_id = %(id)s AND place BETWEEN %(first)s AND %(last)s;

-- name: note_rejects
INSERT INTO migration_reject (migration_id, place, line, code, reason, checked)
SELECT %(id)s, unnest(%(places)s::bigint[]), unnest(%(lines)s::bigint[]), unnest(%(codes)s::text[]),
       unnest(%(reasons)s::text[]), %(checked)s
ON CONFLICT DO NOTHING;

-- name: checked
UPDATE migration SET checked_at = now(), total = %(total)s WHERE id = %(id)s;

-- name: finished
UPDATE migration m SET finished_at = CASE WHEN EXISTS (
        SELECT FROM migration_batch WHERE migration_id = m.id AND NOT done) THEN NULL ELSE coalesce(finished_at, now()) END
WHERE id = %(id)s;

-- name: rejects
SELECT place, line, code, reason FROM migration_reject WHERE migration_id = %(id)s ORDER BY place;

-- name: migrations
SELECT m.id, m.file, m.began_at, m.checked_at, m.finished_at, m.total, coalesce(sum(b.moved), 0)::bigint AS moved,
       coalesce(sum(b.kept), 0)::bigint AS kept, coalesce(sum(b.earlier), 0)::bigint AS earlier,
       (SELECT count(*) FROM migration_reject r WHERE r.migration_id = m.id) AS rejected
FROM migration m LEFT JOIN migration_batch b ON b.migration_id = m.id
WHERE m.tenant_id = %(tenant)s GROUP BY m.id ORDER BY m.id;

-- name: lock_turn
SELECT pg_try_advisory_xact_lock(%(key)s);

-- name: find_business
SELECT t.id, b.began_at, b.cut_over_at
FROM tenant t LEFT JOIN existing_business b ON b.tenant_id = t.id
LEFT JOIN platform p ON p.id = t.platform_id
WHERE t.name = %(name)s AND (%(platform)s::text IS NULL OR p.name = %(platform)s);

-- name: count_old
SELECT count(*) FILTER (WHERE live AND new_id IS NOT NULL), count(*) FILTER (WHERE live AND new_id IS NULL),
       count(*) FILTER (WHERE NOT live)
FROM (SELECT new_id, released_at IS NULL AND expires_at > %(now)s AS live FROM existing_binding
      WHERE tenant_id = %(tenant)s) b;

-- name: cut_over
UPDATE existing_business SET cut_over_at = %(now)s WHERE tenant_id = %(tenant)s AND cut_over_at IS NULL;

-- name: go_on
UPDATE existing_business SET cut_over_at = NULL WHERE tenant_id = %(tenant)s AND cut_over_at IS NOT NULL;

-- name: reopen_batches
UPDATE migration_batch b SET kept = kept + moved, moved = 0, done = false
FROM migration m WHERE m.id = b.migration_id AND m.tenant_id = %(tenant)s;

-- name: reopen
UPDATE migration SET finished_at = NULL WHERE tenant_id = %(tenant)s;

-- name: pin_plans
SELECT set_config(name, 'off', true)
FROM unnest('{enable_seqscan,enable_bitmapscan,enable_hashjoin,enable_mergejoin}'::text[]) name;

-- name: moved
SELECT code, id, numbers, new_code, new_id FROM existing_binding
WHERE tenant_id = %(tenant)s AND id > %(after)s AND new_id IS NOT NULL ORDER BY id LIMIT %(limit)s;

-- name: lock_new
SELECT b.code, b.id FROM (SELECT unnest(%(codes)s::integer[]) AS code, unnest(%(ids)s::bigint[]) AS id) w
JOIN binding b ON b.code = w.code AND b.id = w.id ORDER BY b.code, b.id FOR UPDATE OF b;

-- name: roll_back
UPDATE existing_binding b SET new_code = NULL, new_id = NULL, told_at = NULL, released_at = coalesce(b.released_at, w.ended)
FROM (SELECT unnest(%(homes)s::integer[]) AS code, unnest(%(ids)s::bigint[]) AS id,
             unnest(%(ended)s::timestamptz[]) AS ended) w
WHERE b.code = w.code AND b.id = w.id;

-- name: roll_back_routes
UPDATE existing_route r SET new_code = NULL, new_id = NULL, new_serial = NULL,
       ends_at = CASE WHEN w.ended IS NULL THEN r.ends_at ELSE 'epoch' END, free_at = least(r.free_at, w.ended + %(quarantine)s)
FROM (SELECT unnest(%(codes)s::integer[]) AS code, unnest(%(keys)s::bytea[]) AS key,
             unnest(%(ended)s::timestamptz[]) AS ended) w
WHERE r.code = w.code AND (r.caller_key = w.key OR r.next_key = w.key);

-- name: results
SELECT e.code, e.id, e.numbers, e.vendor, e.vendor_id, e.order_id, e.released_at,
       e.new_code, e.new_id, b.x, b.y, coalesce(b.expires_at, e.expires_at), b.released_at
FROM existing_binding e LEFT JOIN binding b ON b.code = e.new_code AND b.id = e.new_id
WHERE e.tenant_id = %(tenant)s ORDER BY e.id;

-- name: not_told
SELECT code, id, new_code, new_id FROM existing_binding
WHERE tenant_id = %(tenant)s AND id > %(after)s AND new_id IS NOT NULL AND told_at IS NULL ORDER BY id LIMIT %(limit)s;

-- name: told
UPDATE existing_binding SET told_at = now() WHERE code = %(code)s AND id = %(id)s;

-- name: any_old
SELECT FROM existing_route LIMIT 1;
