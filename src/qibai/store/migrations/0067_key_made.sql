-- Which keys were prepared or rotated to, by fingerprints that say nothing of the keys: so two machines never give
-- one number to two keys, and a machine whose key file is not the newest makes none.
CREATE TABLE key_made (
    section text NOT NULL CHECK (section IN ('value', 'hash', 'token')),
    id      integer NOT NULL,
    print   text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (section, id)
);
-- The newest keys of each gateway's key file: a rotation takes no key that a gateway has not got.
ALTER TABLE message_node ADD COLUMN keys jsonb NOT NULL DEFAULT '{}';
