-- A trace by a party's number says whether this number is the party, so it could be asked for each number that fits a
-- masked one. Who asked, and when, is kept for a day: a person may ask so only so often.
CREATE TABLE party_trace (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    via   text NOT NULL,
    at    timestamptz NOT NULL
);
CREATE INDEX party_trace_at_idx ON party_trace (at);

-- What was refused beyond it, counted by the hour.
CREATE TABLE party_trace_refused (
    actor   text NOT NULL,
    via     text NOT NULL,
    hour    timestamptz NOT NULL,
    count   integer NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (actor, via, hour)
);
