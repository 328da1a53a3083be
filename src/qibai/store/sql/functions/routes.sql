-- Everyone who writes route rows calls this first in the transaction. Returns the id of the hash key for caller_key
-- (write_id), the id for next_key (extra_id, or NULL), and whether route_next_key decides conflicts (by_next). The
-- shared lock keeps the phase from changing until the writer has committed. plpgsql: the row must be read after the
-- lock.
CREATE OR REPLACE FUNCTION route_epoch(OUT write_id integer, OUT extra_id integer, OUT by_next boolean)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(7001);
    SELECT CASE WHEN phase >= 2 THEN next_id ELSE current_id END,
           CASE WHEN phase IN (1, 2) THEN next_id END,
           phase = 2
      INTO STRICT write_id, extra_id, by_next
      FROM hash_rotation;
END $$;

-- Returns those of `serials` on which none of `keys` is bound or in quarantine.
CREATE OR REPLACE FUNCTION free_serials(now_ timestamptz, code_ integer, keys bytea[], serials smallint[])
RETURNS SETOF smallint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    moment timestamptz := coalesce(now_, clock_timestamp());
BEGIN
    IF (SELECT phase = 2 FROM hash_rotation) THEN
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.next_key = k AND r.free_at > moment OFFSET 0);
    ELSE
        RETURN QUERY SELECT s FROM unnest(serials) s
            WHERE NOT EXISTS (SELECT FROM unnest(keys) k JOIN route r
                ON r.code = code_ AND r.serial = s AND r.caller_key = k AND r.free_at > moment OFFSET 0);
    END IF;
END $$;

-- A member of a group has called B, so from now on B's calls reach this member. Members dial the serial `x`, B dials
-- `far`; `member_keys` and `b_keys` are the keys under which the rows of each may stand. Whoever changes or releases
-- a binding locks its row first, so nobody leaves the group between the look here and the commit. A row is live if it
-- ends at the same time as its binding. This asks no clock, because another machine's clock set the end of a leaver's
-- row.
CREATE OR REPLACE FUNCTION touch_group(
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
