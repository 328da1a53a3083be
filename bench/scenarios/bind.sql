\set id random(1, 9000000000000000000)
\set x random(0, 9999)
\set y random(0, 9999)
\set k random(1, 9000000000000000000)
WITH r AS (
    INSERT INTO route (code, serial, caller_key, binding_id, tenant_id, shown, max_call_s, ends_at, free_at, callee, caller)
    VALUES (:code, :x, decode(md5((:k)::text), 'hex'), :id, TENANT, :y, 3600, now() + interval '1 hour', now() + interval '25 hours',
            '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909', '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909'),
           (:code, :y, decode(md5((:id)::text), 'hex'), :id, TENANT, :x, 3600, now() + interval '1 hour', now() + interval '25 hours',
            '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909', '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909')
    ON CONFLICT (code, serial, caller_key) DO NOTHING
), i AS (
    INSERT INTO idempotency (tenant_id, key, request, code, binding_id, created_at)
    VALUES (TENANT, decode(md5((:k)::text), 'hex'), decode(md5((:id)::text), 'hex'), :code, :id, now())
)
INSERT INTO binding (code, id, tenant_id, mode, scene, order_id, x, y, a, b, max_call_s, created_at, expires_at)
VALUES (:code, :id, TENANT, 'AXYB', 'parcel', 'pgbench', :x, :y,
        '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909',
        '\x0001000102030405060708090a0b000102030405060708090a0b0c0d0e0f0001020304050607080909', 3600, now(), now() + interval '1 hour');
