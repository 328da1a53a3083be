-- Which revision of the functions the database has. They stand in sql/functions and are run again when they have
-- changed.
CREATE TABLE schema_functions (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    revision     integer NOT NULL,
    digest       text NOT NULL,                 -- SHA-256 of the files
    names        text[] NOT NULL,               -- of the functions: one that leaves the files is dropped
    applied_at   timestamptz NOT NULL DEFAULT now()
);
