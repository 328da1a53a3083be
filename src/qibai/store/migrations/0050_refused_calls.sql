-- Which peers had a call: `caller_peer` sent it (for a sender that is no peer: its address), `callee_peer` had it last,
-- `gave_up` names those that failed it before, one a line: the SIP status, a space, the name.
ALTER TABLE call ADD COLUMN caller_peer text,
                 ADD COLUMN callee_peer text,
                 ADD COLUMN gave_up     text;

-- The lines of both, each once and in order, as core.calls has it; NULL when there is none.
CREATE FUNCTION call_gave_up(one text, other text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(DISTINCT line COLLATE "C", E'\n' ORDER BY line COLLATE "C")
          FROM unnest(string_to_array(concat_ws(E'\n', one, other), E'\n')) AS line);

-- A call to a number that nobody was bound on belongs to whoever the number's code is assigned to.
UPDATE call c SET tenant_id = k.tenant_id
FROM code k
WHERE c.tenant_id IS NULL AND c.binding_id IS NULL AND c.called IS NOT NULL
  AND k.code = c.code AND k.tenant_id IS NOT NULL;
