-- Returns true if a newly reported end replaces the end on record: an end that was seen before an end that was
-- assumed, then the earlier one. The order is that of core.calls.End.
CREATE OR REPLACE FUNCTION call_end_wins(new_seen boolean, new_at timestamptz, new_by text, new_reason text,
                              old_seen boolean, old_at timestamptz, old_by text, old_reason text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN new_at IS NOT NULL AND (old_at IS NULL OR
    (NOT new_seen, new_at, coalesce(new_by, '') <> 'platform', coalesce(new_by, '') COLLATE "C",
     coalesce(new_reason, '') COLLATE "C")
    < (NOT old_seen, old_at, coalesce(old_by, '') <> 'platform', coalesce(old_by, '') COLLATE "C",
       coalesce(old_reason, '') COLLATE "C"));

-- Returns the lines of both texts, each once and in order, as core.calls does; NULL if there is none.
CREATE OR REPLACE FUNCTION call_gave_up(one text, other text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(DISTINCT line COLLATE "C", E'\n' ORDER BY line COLLATE "C")
          FROM unnest(string_to_array(concat_ws(E'\n', one, other), E'\n')) AS line);
