-- How long a call was talked, in milliseconds, by the monotonic clock of the node that saw its answer and its end. The times
-- of a call are the wall clock's, which somebody may set meanwhile. NULL: no node saw both, or it was not answered.
ALTER TABLE call ADD COLUMN talked_ms bigint;
