-- A request is bound to what was asked for by a keyed digest, an approval by a seal; the database has neither key.
-- Requests that are open now have no digest: they run out, and are asked for again.
ALTER TABLE dual_request ADD COLUMN key_id         integer NOT NULL DEFAULT 0,
                         ADD COLUMN digest         bytea NOT NULL DEFAULT '',
                         ADD COLUMN verdict_key_id integer NOT NULL DEFAULT 0,
                         ADD COLUMN verdict_seal   bytea NOT NULL DEFAULT '';
CREATE INDEX dual_request_digest_idx ON dual_request (digest) WHERE state IN ('pending', 'approved');

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
