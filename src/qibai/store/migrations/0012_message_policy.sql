-- What a tenant wants done with the text of its messages (core/content.py); no row: the default.
CREATE TABLE message_policy (
    tenant_id    integer PRIMARY KEY REFERENCES tenant,
    numbers      text NOT NULL CHECK (numbers IN ('mask', 'block', 'pass')),
    hook         text NOT NULL CHECK (hook IN ('forward', 'block', 'ask')),
    url          text CHECK (url IS NOT NULL OR hook <> 'ask'),
    timeout_ms   integer NOT NULL,
    on_timeout   text NOT NULL CHECK (on_timeout IN ('continue', 'block')),
    secret       bytea NOT NULL,                -- sealed: what the hook's questions are signed with
    changed_at   timestamptz NOT NULL
);
-- Whoever keeps policies in memory keeps `standing.version` with them.
CREATE TRIGGER standing_changed AFTER INSERT OR UPDATE OR DELETE ON message_policy
    FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
