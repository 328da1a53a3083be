-- name: state
SELECT phase, current_id, coalesce(next_id, 0) FROM hash_rotation;

-- name: enter_phase
UPDATE hash_rotation SET phase = %(phase)s, current_id = %(current)s, next_id = %(next)s;

-- name: resume
INSERT INTO rotation_progress (job, part) VALUES (%(job)s, %(part)s)
ON CONFLICT (job, part) DO UPDATE SET part = excluded.part
RETURNING done_to, rows_done, finished_at IS NOT NULL;

-- name: note
UPDATE rotation_progress
SET done_to = coalesce(%(done_to)s, done_to), rows_done = rows_done + %(rows)s,
    finished_at = CASE WHEN %(finished)s THEN now() END
WHERE job = %(job)s AND part = %(part)s;

-- name: forget
DELETE FROM rotation_progress WHERE job = %(job)s;

-- name: value_keys
-- A rotation of the value keys notes the key that it moves to as its part.
SELECT part FROM rotation_progress WHERE job = 'values';

-- name: sample
SELECT code, binding_id, callee, current_id FROM hash_rotation, route LIMIT 1;

-- name: made_keys
SELECT section, id, print FROM key_made ORDER BY section, id;

-- name: enter_key
INSERT INTO key_made (section, id, print) VALUES (%(section)s, %(id)s, %(print)s) ON CONFLICT DO NOTHING;
