-- What the recorder needs to look after a running call, also after its own restart.
ALTER TABLE call ADD COLUMN max_call_s      integer,
                 ADD COLUMN refreshed_at    timestamptz,  -- answered, or the session was refreshed
                 ADD COLUMN session_expires integer,      -- seconds; 0 when no session timer runs
                 ADD COLUMN media_id        text;         -- rtpengine's call-id

CREATE INDEX call_order_open_idx ON call_order (node) WHERE done_at IS NULL;

-- Whether a newly heard end is to be believed instead of the one on record: an end that was seen before one that
-- was assumed, else the earlier one; the same order as core.calls.End has.
CREATE FUNCTION call_end_wins(new_seen boolean, new_at timestamptz, new_by text, new_reason text,
                              old_seen boolean, old_at timestamptz, old_by text, old_reason text)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN new_at IS NOT NULL AND (old_at IS NULL OR
    (NOT new_seen, new_at, coalesce(new_by, '') <> 'platform', coalesce(new_by, '') COLLATE "C",
     coalesce(new_reason, '') COLLATE "C")
    < (NOT old_seen, old_at, coalesce(old_by, '') <> 'platform', coalesce(old_by, '') COLLATE "C",
       coalesce(old_reason, '') COLLATE "C"));
