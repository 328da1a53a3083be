-- What the keeper of live calls needs after a restart.
ALTER TABLE call ADD COLUMN max_call_s integer;
ALTER TABLE call ADD COLUMN session_expires integer;

CREATE FUNCTION call_end_rank(ended_at timestamptz, reason text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN ended_at IS NULL THEN 0
                WHEN reason = 'lost' THEN 1
                WHEN reason IN ('max_duration', 'terminated', 'session_expired', 'media_timeout') THEN 3
                ELSE 2 END
$$;
