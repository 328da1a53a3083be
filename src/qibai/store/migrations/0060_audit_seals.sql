-- Every entry of the audit trail has a seal of its own, and says which node anchored it.

-- A forged entry stands beside the true one, without a seal, and takes its place from nobody.
ALTER TABLE audit ADD COLUMN node   text NOT NULL DEFAULT '',
                  ADD COLUMN key_id integer NOT NULL DEFAULT 0,
                  ADD COLUMN seal   bytea NOT NULL DEFAULT '',
                  DROP CONSTRAINT audit_pkey,
                  ADD PRIMARY KEY (seq, hash);

-- Entries up to `sealed_from` are older than seals.
DROP TRIGGER audit_head_advances ON audit_head;
ALTER TABLE audit_head ADD COLUMN sealed_from bigint NOT NULL DEFAULT 0;
UPDATE audit_head SET sealed_from = seq;

-- The head may go on from the last entry that has a seal when somebody else has moved it: with a new seal, then.
CREATE TRIGGER audit_head_advances BEFORE UPDATE ON audit_head
    FOR EACH ROW WHEN (NEW.sealed_from <> OLD.sealed_from OR (NEW.seq <> OLD.seq + 1 AND NEW.seal = OLD.seal))
    EXECUTE FUNCTION audit_only_grows();

CREATE FUNCTION audit_has_no_past() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <= (SELECT sealed_from FROM audit_head) THEN
        RAISE EXCEPTION USING ERRCODE = 'QB005', MESSAGE = 'the audit trail only grows';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_has_no_past BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_has_no_past();
