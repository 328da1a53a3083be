-- name: lock
SELECT pg_advisory_xact_lock(7004);

-- name: set_carrier
INSERT INTO carrier (digit, name) VALUES (%(digit)s, %(name)s)
ON CONFLICT (digit) DO UPDATE SET name = excluded.name;

-- name: list_carriers
SELECT k.digit, k.name, count(c.code) AS codes, count(c.code) FILTER (WHERE NOT c.enabled) AS set_aside
FROM carrier k LEFT JOIN code c ON c.code / 10000000 = k.digit
GROUP BY k.digit, k.name ORDER BY k.digit;

-- name: add_platform
INSERT INTO platform (name) VALUES (%(name)s) RETURNING id;

-- name: under_platform
SELECT (SELECT count(*) FROM code WHERE platform_id = %(id)s) AS codes,
       (SELECT count(*) FROM tenant WHERE platform_id = %(id)s) AS tenants,
       (SELECT count(*) FROM approval WHERE platform_id = %(id)s)
           + (SELECT count(*) FROM certificate WHERE platform_id = %(id)s) AS papers,
       (SELECT count(*) FROM application WHERE platform_id = %(id)s) AS applications,
       (SELECT count(*) FROM api_key WHERE platform_id = %(id)s) AS "API keys";

-- name: remove_platform
DELETE FROM platform WHERE id = %(id)s;

-- name: find_platform
SELECT id FROM platform WHERE name = %(name)s;

-- name: list_platforms
SELECT p.id, p.name, s.approval, s.provinces, s.first_day, s.last_day, s.revoked_at, s.exit_at, s.applied_at,
       (SELECT count(*) FROM code WHERE platform_id = p.id) AS codes,
       (SELECT coalesce(array_agg(name ORDER BY name), '{}') FROM tenant WHERE platform_id = p.id) AS tenants
FROM platform p JOIN platform_standing s ON s.platform_id = p.id
WHERE %(name)s::text IS NULL OR p.name = %(name)s
ORDER BY p.name;

-- name: draft
INSERT INTO application (platform_id, kind, note) VALUES (%(platform)s, %(kind)s, %(note)s) RETURNING id;

-- name: lock_application
SELECT platform_id, kind, state FROM application WHERE id = %(id)s FOR UPDATE;

-- name: move_application
UPDATE application SET state = %(state)s,
       submitted_at = CASE WHEN %(state)s = 'submitted' THEN coalesce(submitted_at, %(at)s) ELSE submitted_at END
WHERE id = %(id)s;

-- name: add_step
INSERT INTO application_step (application_id, step, state, at, reason)
SELECT %(id)s, coalesce(max(step), 0) + 1, %(state)s, %(at)s, %(reason)s FROM application_step WHERE application_id = %(id)s;

-- name: list_applications
SELECT a.id, p.name AS platform, a.kind, a.state, a.note, a.submitted_at,
       (SELECT s.reason FROM application_step s WHERE s.application_id = a.id ORDER BY s.step DESC LIMIT 1) AS reason
FROM application a JOIN platform p ON p.id = a.platform_id
WHERE (%(platform)s::text IS NULL OR p.name = %(platform)s) AND (%(state)s::text IS NULL OR a.state = %(state)s)
ORDER BY a.id;

-- name: steps
SELECT s.state, s.at, s.reason FROM application_step s
JOIN application a ON a.id = s.application_id JOIN platform p ON p.id = a.platform_id
WHERE s.application_id = %(id)s AND (%(platform)s::text IS NULL OR p.name = %(platform)s) ORDER BY s.step;

-- name: last_step
SELECT max(at) FROM application_step WHERE application_id = %(id)s;

-- name: application_of
SELECT a.platform_id, p.name, a.kind FROM application a JOIN platform p ON p.id = a.platform_id WHERE a.id = %(id)s;

-- name: latest_approval
SELECT number FROM approval WHERE platform_id = %(platform)s ORDER BY id DESC LIMIT 1;

-- name: holder_of_approval
SELECT platform_id FROM approval WHERE number = %(number)s;

-- name: holder_of_certificate
SELECT platform_id FROM certificate WHERE number = %(number)s;

-- name: papers_before
SELECT 'approval', number FROM approval
WHERE id = (SELECT max(id) FROM approval WHERE platform_id = %(platform)s)
  AND revoked_at IS NULL AND last_day < %(last_day)s
UNION ALL
SELECT 'certificate', number FROM certificate
WHERE platform_id = %(platform)s AND revoked_at IS NULL AND last_day < %(last_day)s
  AND EXISTS (SELECT FROM code WHERE certificate_id = certificate.id AND state <> 'returned')
ORDER BY 1, 2;

-- name: codes_of_platform
SELECT code FROM code WHERE platform_id = %(platform)s ORDER BY code;

-- name: whose_codes
SELECT code, state, platform_id FROM code WHERE code = ANY(%(codes)s::integer[]);

-- name: add_approval
INSERT INTO approval (platform_id, number, provinces, first_day, last_day)
VALUES (%(platform)s, %(number)s, %(provinces)s, %(first_day)s, %(last_day)s);

-- name: add_certificate
INSERT INTO certificate (platform_id, number, provinces, first_day, last_day)
VALUES (%(platform)s, %(number)s, %(provinces)s, %(first_day)s, %(last_day)s);

-- name: renew_approval
UPDATE approval SET last_day = %(last_day)s
WHERE number = %(number)s AND revoked_at IS NULL AND %(last_day)s > last_day;

-- name: renew_certificate
UPDATE certificate SET last_day = %(last_day)s
WHERE number = %(number)s AND revoked_at IS NULL AND %(last_day)s > last_day;

-- name: revoke_approval
UPDATE approval SET revoked_at = %(at)s, revoked_why = %(why)s WHERE number = %(number)s AND revoked_at IS NULL;

-- name: revoke_certificate
UPDATE certificate SET revoked_at = %(at)s, revoked_why = %(why)s WHERE number = %(number)s AND revoked_at IS NULL;

-- name: exit_approval
UPDATE approval SET exit_at = %(at)s WHERE number = %(number)s AND exit_at IS NULL;

-- name: exists_approval
SELECT FROM approval WHERE number = %(number)s;

-- name: exists_certificate
SELECT FROM certificate WHERE number = %(number)s;

-- name: list_approvals
SELECT p.name AS platform, a.number, a.provinces, a.first_day, a.last_day, a.revoked_at, a.revoked_why, a.exit_at
FROM approval a JOIN platform p ON p.id = a.platform_id
WHERE %(platform)s::text IS NULL OR p.name = %(platform)s ORDER BY a.id;

-- name: list_certificates
SELECT p.name AS platform, e.number, e.provinces, e.first_day, e.last_day, e.revoked_at, e.revoked_why,
       NULL::timestamptz AS exit_at
FROM certificate e JOIN platform p ON p.id = e.platform_id
WHERE %(platform)s::text IS NULL OR p.name = %(platform)s ORDER BY e.id;

-- name: find_certificate
SELECT id, platform_id FROM certificate WHERE number = %(number)s;

-- name: place_tenant
UPDATE tenant SET platform_id = %(platform)s WHERE id = %(tenant)s AND platform_id IS DISTINCT FROM %(platform)s;

-- name: has_bindings
SELECT FROM binding WHERE tenant_id = %(tenant)s LIMIT 1;

-- name: tenant_platform
SELECT t.id, t.platform_id FROM tenant t WHERE t.name = %(name)s;

-- name: lock_codes
SELECT code, state, tenant_id, platform_id, returned_at FROM code WHERE code = ANY(%(codes)s::integer[])
ORDER BY code FOR UPDATE;

-- name: occupied
SELECT c FROM unnest(%(codes)s::integer[]) c WHERE EXISTS (
    SELECT FROM route r WHERE r.code = c AND r.free_at > %(now)s);

-- name: choose_codes
SELECT c.code FROM code c
LEFT JOIN tenant t ON t.id = c.tenant_id
LEFT JOIN certificate e ON e.id = c.certificate_id
WHERE (%(carrier)s::integer IS NULL OR c.code / 10000000 = %(carrier)s)
  AND (%(tenant)s::text IS NULL OR t.name = %(tenant)s)
  AND (%(certificate)s::text IS NULL OR e.number = %(certificate)s)
ORDER BY c.code;

-- name: set_state
UPDATE code SET state = %(state)s WHERE code = ANY(%(codes)s::integer[]);

-- name: open_provinces
UPDATE code SET provinces = ARRAY(SELECT DISTINCT p FROM unnest(provinces || %(provinces)s::text[]) p ORDER BY p)
WHERE code = ANY(%(codes)s::integer[]);

-- name: close_provinces
UPDATE code SET provinces = ARRAY(SELECT p FROM unnest(provinces) p WHERE p <> ALL (%(provinces)s::text[]) ORDER BY p)
WHERE code = ANY(%(codes)s::integer[]);

-- name: return_codes
UPDATE code SET state = 'returned', returned_at = %(at)s, tenant_id = NULL, provinces = '{}'
WHERE code = ANY(%(codes)s::integer[]);

-- name: certify
INSERT INTO code AS c (code, platform_id, certificate_id)
SELECT u, %(platform)s, %(certificate)s FROM unnest(%(codes)s::integer[]) u
ON CONFLICT (code) DO UPDATE
SET platform_id = excluded.platform_id, certificate_id = excluded.certificate_id, returned_at = NULL,
    state = CASE WHEN c.state = 'returned' THEN 'assigned' ELSE c.state END;

-- name: give_codes
UPDATE code SET tenant_id = %(tenant)s, platform_id = coalesce(platform_id, %(platform)s),
                state = CASE state WHEN 'opened' THEN 'in_use' ELSE state END
WHERE code = ANY(%(codes)s::integer[]);

-- name: set_aside
UPDATE code SET enabled = false, set_aside_why = %(why)s WHERE code = ANY(%(codes)s::integer[]) RETURNING code;

-- name: take_back
UPDATE code SET enabled = true, set_aside_why = NULL WHERE code = ANY(%(codes)s::integer[]) RETURNING code;

-- name: lock_number
INSERT INTO number_lock (code, serial, stops_calls, why, locked_at)
VALUES (%(code)s, %(serial)s, %(stops_calls)s, %(why)s, %(now)s)
ON CONFLICT (code, serial) DO UPDATE SET stops_calls = excluded.stops_calls, why = excluded.why;

-- name: unlock_number
DELETE FROM number_lock WHERE code = %(code)s AND serial = %(serial)s;

-- name: list_locks
SELECT code, serial, stops_calls, why, locked_at FROM number_lock
WHERE %(code)s::integer IS NULL OR code = %(code)s ORDER BY code, serial;

-- name: set_quota
SELECT set_quota(tenant => %(tenant)s::integer, now_ => %(now)s, scene_ => %(scene)s, province_ => %(province)s,
                 most_ => %(most)s::bigint);

-- name: drop_quota
DELETE FROM quota WHERE tenant_id = %(tenant)s AND scene IS NOT DISTINCT FROM %(scene)s::text
    AND province IS NOT DISTINCT FROM %(province)s::text;

-- name: list_quotas
SELECT t.name AS tenant, q.scene, q.province, q.most,
       (n.used - coalesce((SELECT sum(count) FROM quota_end e WHERE e.quota_id = q.id AND e.minute <= %(now)s), 0))::bigint
       AS used
FROM quota q JOIN tenant t ON t.id = q.tenant_id JOIN quota_count n ON n.quota_id = q.id
LEFT JOIN platform p ON p.id = t.platform_id
WHERE (%(tenant)s::text IS NULL OR t.name = %(tenant)s) AND (%(platform)s::text IS NULL OR p.name = %(platform)s)
ORDER BY t.name, q.scene NULLS FIRST, q.province NULLS FIRST;

-- name: check_lines
SELECT line, reason FROM (
    SELECT w.line, CASE
        WHEN w.certificate IS NOT NULL AND e.id IS NULL THEN 'there is no certificate of this number'
        WHEN w.tenant IS NOT NULL AND t.id IS NULL THEN 'there is no tenant of this name'
        WHEN c.state = 'returned' AND e.id IS NULL THEN 'it was returned: it needs a certificate'
        WHEN c.state = 'returned' AND c.returned_at + %(quarantine)s > %(now)s
            THEN 'it was returned, and may not be used again yet'
        WHEN c.state = 'draining' THEN 'it is draining'
        WHEN c.state <> 'returned' AND e.platform_id <> c.platform_id
            THEN 'it is another application platform''s until it is returned'
        WHEN coalesce(e.platform_id, c.platform_id) IS DISTINCT FROM t.platform_id
             AND t.id IS NOT NULL AND coalesce(e.platform_id, c.platform_id) IS NOT NULL
            THEN 'code and tenant are of different application platforms'
        WHEN e.id IS NOT NULL AND c.state <> 'returned' AND c.tenant_id IS NOT NULL AND w.tenant IS NULL
             AND (SELECT platform_id FROM tenant WHERE id = c.tenant_id) IS DISTINCT FROM e.platform_id
            THEN 'its tenant is of another application platform'
        WHEN c.tenant_id <> t.id
             AND EXISTS (SELECT FROM route r WHERE r.code = c.code AND r.free_at > %(now)s)
            THEN 'its numbers are bound by another tenant, or in quarantine'
        END AS reason
    FROM unnest(%(lines)s::bigint[], %(codes)s::integer[], %(certificates)s::text[], %(tenants)s::text[])
         AS w (line, code, certificate, tenant)
    LEFT JOIN code c ON c.code = w.code
    LEFT JOIN certificate e ON e.number = w.certificate
    LEFT JOIN tenant t ON t.name = w.tenant) checked
WHERE reason IS NOT NULL ORDER BY line;

-- name: write_lines
INSERT INTO code AS c (code, platform_id, certificate_id, tenant_id, provinces, state)
SELECT w.code, coalesce(e.platform_id, t.platform_id), e.id, t.id, p.provinces,
       CASE WHEN p.provinces = '{}' THEN 'assigned' WHEN t.id IS NULL THEN 'opened' ELSE 'in_use' END
FROM unnest(%(lines)s::bigint[], %(codes)s::integer[], %(certificates)s::text[], %(tenants)s::text[],
            %(provinces)s::text[]) AS w (line, code, certificate, tenant, provinces)
CROSS JOIN LATERAL (SELECT string_to_array(nullif(w.provinces, ''), ' ') AS given) g
CROSS JOIN LATERAL (SELECT coalesce(g.given, '{}') AS provinces) p
LEFT JOIN certificate e ON e.number = w.certificate
LEFT JOIN tenant t ON t.name = w.tenant
ON CONFLICT (code) DO UPDATE SET
    platform_id = coalesce(excluded.platform_id, c.platform_id),
    certificate_id = coalesce(excluded.certificate_id, c.certificate_id),
    tenant_id = coalesce(excluded.tenant_id, c.tenant_id),
    provinces = CASE WHEN excluded.provinces = '{}' THEN c.provinces ELSE excluded.provinces END,
    returned_at = NULL,
    state = CASE
        WHEN excluded.provinces = '{}' AND c.provinces = '{}' THEN
            CASE c.state WHEN 'returned' THEN 'assigned' ELSE c.state END
        WHEN coalesce(excluded.tenant_id, c.tenant_id) IS NULL THEN 'opened'
        ELSE 'in_use' END;

-- name: import_so_far
SELECT lines_done FROM code_import WHERE digest = %(digest)s;

-- name: import_done
INSERT INTO code_import (digest, lines_done) VALUES (%(digest)s, %(lines)s)
ON CONFLICT (digest) DO UPDATE SET lines_done = excluded.lines_done;

-- name: import_over
DELETE FROM code_import WHERE digest = %(digest)s;
