-- A member of a group has called B: from now on B's calls reach that member. `x` is the serial that members dial, `far`
-- the one that B dials; of each party the keys that its rows may stand under. Whoever changes or releases a binding
-- locks its row first, so that nobody leaves the group between the look here and the commit. A row is live if it ends
-- with its binding: a leaver's row has ended, and no clock is asked, as the leaver's end is by another machine's.
CREATE FUNCTION touch_group(
    code_ integer, id_ bigint, x smallint, member_keys bytea[], far smallint, b_keys bytea[], callee_ bytea
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz;
BEGIN
    SELECT expires_at INTO ends FROM binding WHERE code = code_ AND id = id_ AND released_at IS NULL FOR SHARE;
    IF EXISTS (SELECT FROM route WHERE code = code_ AND serial = x AND caller_key = ANY (member_keys)
                  AND binding_id = id_ AND ends_at = ends AND flags & 2 <> 0)
    THEN
        UPDATE route SET callee = callee_
         WHERE code = code_ AND serial = far AND caller_key = ANY (b_keys)
           AND binding_id = id_ AND ends_at = ends AND flags & 1 <> 0 AND callee <> callee_;
    END IF;
END $$;
