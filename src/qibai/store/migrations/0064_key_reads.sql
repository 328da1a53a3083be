-- How many whole real numbers were read through the API with a key, and when the last.
CREATE TABLE key_read (
    key_id  text PRIMARY KEY REFERENCES api_key (id) ON DELETE CASCADE,
    numbers bigint NOT NULL,
    last_at timestamptz NOT NULL
);
