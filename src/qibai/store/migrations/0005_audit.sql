-- Whose a key is, who did what, and acts that two persons answer for.

-- A tenant's and a network's key belong to a tenant, an application platform's to it, and an operator's or an
-- auditor's to a person.
ALTER TABLE api_key ADD COLUMN platform_id integer REFERENCES platform,
                    ADD COLUMN person      text,
                    DROP CONSTRAINT IF EXISTS api_key_kind_check,
                    DROP CONSTRAINT IF EXISTS api_key_tenant_check;
UPDATE api_key SET person = id WHERE kind = 'operator';
ALTER TABLE api_key
    ADD CONSTRAINT api_key_kind_check CHECK (kind IN ('operator', 'platform', 'tenant', 'auditor', 'network')),
    ADD CONSTRAINT api_key_owner_check CHECK (
        (tenant_id IS NOT NULL) = (kind IN ('tenant', 'network'))
        AND (platform_id IS NOT NULL) = (kind = 'platform')
        AND (person IS NOT NULL) = (kind IN ('operator', 'auditor')));

-- The audit trail, see core/trail.py. Rows are only added.
CREATE TABLE audit (
    seq          bigint PRIMARY KEY,
    at           timestamptz NOT NULL,
    actor        text NOT NULL,
    role         text NOT NULL,
    via          text NOT NULL,
    action       text NOT NULL,
    subject      text NOT NULL,
    details      text NOT NULL,                 -- JSON as it went into the digest; no real number in clear
    prev         bytea NOT NULL,
    hash         bytea NOT NULL
);
CREATE INDEX audit_subject_idx ON audit (subject, seq);

-- Where the chain is. Whoever adds a row locks this one first, so that there is one chain; `seal` is an HMAC-SM3
-- under a key that the database does not have.
CREATE TABLE audit_head (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    seq          bigint NOT NULL DEFAULT 0,
    hash         bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    key_id       integer NOT NULL DEFAULT 0,
    seal         bytea NOT NULL DEFAULT ''
);
INSERT INTO audit_head DEFAULT VALUES;

-- The platform's role has no right to any of this, and does not own the triggers; these stop the owner's mistakes.
CREATE FUNCTION audit_only_grows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'QB005', MESSAGE = 'the audit trail only grows';
END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER audit_head_stays BEFORE INSERT OR DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER audit_head_advances BEFORE UPDATE ON audit_head
    FOR EACH ROW WHEN (NEW.seq <> OLD.seq + 1) EXECUTE FUNCTION audit_only_grows();

-- One person asks, another approves, then it may be done once, just so.
CREATE TABLE dual_request (
    id           text PRIMARY KEY,
    action       text NOT NULL,
    params       text NOT NULL,                 -- JSON; what is approved is this and nothing else
    reason       text NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'approved', 'rejected', 'used')),
    asked_by     text NOT NULL,
    asked_via    text NOT NULL,
    asked_at     timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    decided_by   text,
    decided_via  text,
    decided_at   timestamptz,
    used_at      timestamptz,
    CHECK ((state = 'pending') = (decided_at IS NULL)),
    CHECK ((state = 'used') = (used_at IS NOT NULL)),
    CONSTRAINT dual_request_two_persons
        CHECK (state IN ('pending', 'rejected') OR (decided_by <> asked_by AND decided_via <> asked_via))
);
CREATE INDEX dual_request_open_idx ON dual_request (action, asked_by) WHERE state IN ('pending', 'approved');

CREATE FUNCTION dual_request_moves() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('pending', 'approved'), ('pending', 'rejected'), ('approved', 'used'),
                                      ('approved', 'rejected'))
       OR (NEW.id, NEW.action, NEW.params, NEW.reason, NEW.asked_by, NEW.asked_via, NEW.asked_at, NEW.expires_at)
          IS DISTINCT FROM
          (OLD.id, OLD.action, OLD.params, OLD.reason, OLD.asked_by, OLD.asked_via, OLD.asked_at, OLD.expires_at)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'QB006', MESSAGE = 'a request for approval cannot be changed so';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER dual_request_moves BEFORE UPDATE ON dual_request
    FOR EACH ROW EXECUTE FUNCTION dual_request_moves();
CREATE TRIGGER dual_request_stays BEFORE DELETE OR TRUNCATE ON dual_request
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
