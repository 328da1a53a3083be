-- name: drop
DROP TABLE IF EXISTS pg_temp.old_pair, pg_temp.old_party, pg_temp.old_number;

-- name: pairs
CREATE TEMPORARY TABLE old_pair (place bigint, line bigint, key bytea, whole bytea);

-- name: parties
CREATE TEMPORARY TABLE old_party (place bigint, line bigint, key bytea);

-- name: numbers
CREATE TEMPORARY TABLE old_number (place bigint, line bigint, key bytea, blind bytea);

-- name: analyze
ANALYZE old_pair, old_party, old_number;

-- name: conflicts
-- The first binding that has a pair keeps it; a number that is a middle number here cannot be a party, here or there.
WITH first AS (
    SELECT key, min(place) AS place FROM old_pair GROUP BY key HAVING count(*) > 1),
twice AS (
    SELECT p.place, p.line, min(f.place) AS other, bool_and(p.whole = o.whole) AS same
    FROM first f JOIN old_pair p ON p.key = f.key AND p.place > f.place
    JOIN old_pair o ON o.key = f.key AND o.place = f.place
    GROUP BY p.place, p.line),
middle AS (SELECT DISTINCT key, blind FROM old_number),
as_party AS (
    SELECT DISTINCT p.place, p.line FROM old_party p JOIN middle m ON m.key = p.key),
real AS (
    SELECT DISTINCT n.place, n.line FROM old_number n
    WHERE n.blind IN (SELECT caller_key FROM route WHERE free_at > now()
                      UNION ALL SELECT next_key FROM route WHERE free_at > now() AND next_key IS NOT NULL))
SELECT DISTINCT ON (place) place, line, code, reason FROM (
    SELECT place, line, 1 AS rank, 'conflict' AS code,
           'one of its parties is an old middle number of this file' AS reason FROM as_party
    UNION ALL
    SELECT place, line, 2, 'conflict', 'its old number is a real party of a binding' FROM real
    UNION ALL
    SELECT t.place, t.line, 3, CASE WHEN t.same THEN 'repeated' ELSE 'number_taken' END,
           CASE WHEN t.same THEN 'the same binding stands on line ' ELSE 'its old number has one of its parties on line ' END
           || (SELECT min(line) FROM old_pair o WHERE o.place = t.other)
    FROM twice t) found
ORDER BY place, rank;

-- name: count_numbers
SELECT count(*), count(*) FILTER (WHERE n > 1) FROM (
    SELECT count(DISTINCT place) AS n FROM old_number GROUP BY key) counted;

-- name: room
-- The tenant's numbers by province: of codes that may be bound, how many numbers nobody holds.
WITH mine AS (SELECT unnest(%(codes)s::integer[]) AS code),
held AS (SELECT r.code, count(DISTINCT r.serial) AS n FROM route r JOIN mine ON mine.code = r.code
         WHERE r.free_at > now() GROUP BY r.code)
SELECT m.code, coalesce(h.n, 0)::bigint FROM mine m LEFT JOIN held h ON h.code = m.code;
