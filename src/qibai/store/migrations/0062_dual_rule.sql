-- How many persons a grave act takes, sealed under a key that the database does not have. `seq` is the entry of the
-- audit trail that says so: when the trail has a later one, this row is an old one that somebody put back.
-- No row: two persons.
CREATE TABLE dual_rule (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    persons      smallint NOT NULL,
    seq          bigint NOT NULL,
    key_id       integer NOT NULL,
    seal         bytea NOT NULL
);
