-- The secret of an API key is sealed together with the key's role and holder, so that SQL alone neither makes a key
-- nor gives it to somebody else. Secrets that were sealed before were tied to the key's id alone: each stands here
-- until the upgrade has sealed it once more. Only the owner of the schema writes here.
CREATE TABLE api_key_untied (id text PRIMARY KEY REFERENCES api_key (id) ON DELETE CASCADE);
INSERT INTO api_key_untied (id) SELECT id FROM api_key;
