-- name: read
SELECT persons, seq, key_id, seal,
       EXISTS (SELECT FROM audit WHERE audit.action = 'dual.rule' AND audit.seq > dual_rule.seq) AS later
FROM dual_rule;

-- name: write
INSERT INTO dual_rule (persons, seq, key_id, seal) VALUES (%(persons)s, %(seq)s, %(key_id)s, %(seal)s)
ON CONFLICT (singleton) DO UPDATE SET persons = excluded.persons, seq = excluded.seq, key_id = excluded.key_id,
                                      seal = excluded.seal;

-- name: operators
SELECT count(DISTINCT person) FROM api_key WHERE kind = 'operator';
