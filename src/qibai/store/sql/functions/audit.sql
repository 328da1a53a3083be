-- The platform's role has no right to change the trail and does not own its triggers. This stops mistakes of the
-- owner.
CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'QB005', MESSAGE = 'the audit trail only grows';
END $$;

-- Refuses entries older than the first sealed one.
CREATE OR REPLACE FUNCTION audit_has_no_past() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <= (SELECT sealed_from FROM audit_head) THEN
        RAISE EXCEPTION USING ERRCODE = 'QB005', MESSAGE = 'the audit trail only grows';
    END IF;
    RETURN NEW;
END $$;

-- Lets a request for approval change its state, in the allowed order, and nothing else.
CREATE OR REPLACE FUNCTION dual_request_moves() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN (('pending', 'approved'), ('pending', 'rejected'), ('approved', 'used'),
                                      ('approved', 'rejected'))
       OR (NEW.id, NEW.action, NEW.params, NEW.reason, NEW.asked_by, NEW.asked_via, NEW.asked_at, NEW.expires_at,
           NEW.key_id, NEW.digest)
          IS DISTINCT FROM
          (OLD.id, OLD.action, OLD.params, OLD.reason, OLD.asked_by, OLD.asked_via, OLD.asked_at, OLD.expires_at,
           OLD.key_id, OLD.digest)
    THEN
        RAISE EXCEPTION USING ERRCODE = 'QB006', MESSAGE = 'a request for approval cannot be changed so';
    END IF;
    RETURN NEW;
END $$;
