-- name: version
SELECT version FROM standing;

-- name: code_rights
SELECT s.version, CASE WHEN c.code IS NOT NULL THEN json_build_object(
    'version', s.version, 'state', c.state, 'enabled', c.enabled, 'opened', c.provinces,
    'papers', json_build_object(
        'applied_at', p.applied_at, 'approval_first', p.first_day, 'approval_last', p.last_day,
        'approval_provinces', p.provinces, 'revoked_at', p.revoked_at, 'exit_at', p.exit_at,
        'certificate_first', ce.first_day, 'certificate_last', ce.last_day,
        'certificate_provinces', ce.provinces, 'certificate_revoked_at', ce.revoked_at),
    'locks', coalesce((SELECT json_object_agg(serial::text, stops_calls) FROM number_lock WHERE code = c.code), '{}')
    )::text END
FROM standing s
LEFT JOIN code c ON c.code = $1::integer
LEFT JOIN platform_standing p ON p.platform_id = c.platform_id
LEFT JOIN certificate ce ON ce.id = c.certificate_id;

-- name: tenant_papers
SELECT c.platform_id, c.certificate_id, json_build_object(
    'applied_at', p.applied_at, 'approval_first', p.first_day, 'approval_last', p.last_day,
    'approval_provinces', p.provinces, 'revoked_at', p.revoked_at, 'exit_at', p.exit_at,
    'certificate_first', ce.first_day, 'certificate_last', ce.last_day,
    'certificate_provinces', ce.provinces, 'certificate_revoked_at', ce.revoked_at)::text
FROM (SELECT DISTINCT platform_id, certificate_id FROM code WHERE tenant_id = %(tenant)s) c
LEFT JOIN platform_standing p ON p.platform_id = c.platform_id
LEFT JOIN certificate ce ON ce.id = c.certificate_id;

-- name: tenant_codes
SELECT code, state, enabled, provinces, platform_id, certificate_id, province
FROM code WHERE tenant_id = %(tenant)s ORDER BY code;

-- name: tenant_locks
SELECT l.code, l.serial, l.stops_calls FROM code c JOIN number_lock l ON l.code = c.code WHERE c.tenant_id = %(tenant)s;

-- name: has_quotas
SELECT FROM quota WHERE tenant_id = %(tenant)s LIMIT 1;

-- name: existing_rights
SELECT s.version, json_build_object(
    'papers', json_build_object('applied_at', p.applied_at, 'approval_first', p.first_day, 'approval_last', p.last_day,
        'approval_provinces', p.provinces, 'revoked_at', p.revoked_at, 'exit_at', p.exit_at),
    'cut_over', e.cut_over_at IS NOT NULL)::text
FROM standing s
LEFT JOIN tenant t ON t.id = $1::integer
LEFT JOIN platform_standing p ON p.platform_id = t.platform_id
LEFT JOIN existing_business e ON e.tenant_id = t.id;

-- name: has_existing
SELECT FROM existing_business LIMIT 1;
