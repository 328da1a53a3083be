-- The tables as all migrations leave them, written by `make schema`: to be read, not to be run.
-- Functions stand in sql/functions/. Partitions are counted, not listed.


-- A key of an operator is no tenant's.
-- A tenant's and a network's key belong to a tenant, an application platform's to it, and an operator's or an
-- auditor's to a person.
CREATE TABLE api_key (
    id text NOT NULL,                            -- public part, shown in lists and logs
    tenant_id integer,
    kind text DEFAULT 'tenant' NOT NULL,
    digest bytea NOT NULL,                       -- SHA-256 of the bearer secret
    secret bytea NOT NULL,                       -- the signing secret, sealed
    created_at timestamptz DEFAULT now() NOT NULL,
    revoked_at timestamptz,
    platform_id integer,
    person text,
    CONSTRAINT api_key_kind_check CHECK ((kind = ANY (ARRAY['operator', 'platform', 'tenant', 'auditor', 'network']))),
    CONSTRAINT api_key_owner_check CHECK ((((tenant_id IS NOT NULL) = (kind = ANY (ARRAY['tenant', 'network']))) AND ((platform_id IS NOT NULL) = (kind = 'platform')) AND ((person IS NOT NULL) = (kind = ANY (ARRAY['operator', 'auditor'])))))
);
ALTER TABLE ONLY api_key ADD CONSTRAINT api_key_pkey PRIMARY KEY (id);
ALTER TABLE ONLY api_key ADD CONSTRAINT api_key_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);
ALTER TABLE ONLY api_key ADD CONSTRAINT api_key_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);


CREATE TABLE api_key_untied (
    id text NOT NULL
);
ALTER TABLE ONLY api_key_untied ADD CONSTRAINT api_key_untied_pkey PRIMARY KEY (id);
ALTER TABLE ONLY api_key_untied ADD CONSTRAINT api_key_untied_id_fkey FOREIGN KEY (id) REFERENCES api_key(id) ON DELETE CASCADE;


CREATE TABLE application (
    id integer NOT NULL,
    platform_id integer NOT NULL,
    kind text NOT NULL,
    state text DEFAULT 'drafted' NOT NULL,
    note text DEFAULT '' NOT NULL,               -- what is applied for
    submitted_at timestamptz,                    -- when it was submitted first
    CONSTRAINT application_kind_check CHECK ((kind = ANY (ARRAY['initial', 'supplement', 'return', 'early_exit', 'renewal']))),
    CONSTRAINT application_state_check CHECK ((state = ANY (ARRAY['drafted', 'submitted', 'accepted', 'refused', 'granted'])))
);
ALTER TABLE application ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY application ADD CONSTRAINT application_pkey PRIMARY KEY (id);
CREATE INDEX application_platform_idx ON application (platform_id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON application FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY application ADD CONSTRAINT application_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);


CREATE TABLE application_step (
    application_id integer NOT NULL,
    step integer NOT NULL,
    state text NOT NULL,
    at timestamptz NOT NULL,
    reason text                                  -- of a refusal
);
ALTER TABLE ONLY application_step ADD CONSTRAINT application_step_pkey PRIMARY KEY (application_id, step);
ALTER TABLE ONLY application_step ADD CONSTRAINT application_step_application_id_fkey FOREIGN KEY (application_id) REFERENCES application(id);


CREATE TABLE approval (
    id integer NOT NULL,
    platform_id integer NOT NULL,
    number text NOT NULL,
    provinces text[] NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    revoked_at timestamptz,
    revoked_why text,
    exit_at timestamptz,                         -- an early exit takes effect
    CONSTRAINT approval_check CHECK ((last_day >= first_day))
);
ALTER TABLE approval ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY approval ADD CONSTRAINT approval_number_key UNIQUE (number);
ALTER TABLE ONLY approval ADD CONSTRAINT approval_pkey PRIMARY KEY (id);
CREATE INDEX approval_platform_idx ON approval (platform_id, id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON approval FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY approval ADD CONSTRAINT approval_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);


-- The audit trail, see core/trail.py. Rows are only added.
-- A forged entry stands beside the true one, without a seal, and takes its place from nobody.
CREATE TABLE audit (
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    via text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details text NOT NULL,                       -- JSON as it went into the digest; no real number in clear
    prev bytea NOT NULL,
    hash bytea NOT NULL,
    node text DEFAULT '' NOT NULL,
    key_id integer DEFAULT 0 NOT NULL,
    seal bytea DEFAULT '\x'::bytea NOT NULL
);
ALTER TABLE ONLY audit ADD CONSTRAINT audit_pkey PRIMARY KEY (seq, hash);
CREATE INDEX audit_subject_idx ON audit (subject, seq);
CREATE TRIGGER audit_has_no_past BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_has_no_past();
CREATE TRIGGER audit_only_grows BEFORE DELETE OR UPDATE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();


-- Where the chain is. Whoever adds a row locks this one first, so that there is one chain; `seal` is an HMAC-SM3
-- under a key that the database does not have.
CREATE TABLE audit_head (
    singleton boolean DEFAULT true NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    hash bytea DEFAULT decode(repeat('00', 32), 'hex') NOT NULL,
    key_id integer DEFAULT 0 NOT NULL,
    seal bytea DEFAULT '\x'::bytea NOT NULL,
    sealed_from bigint DEFAULT 0 NOT NULL,
    CONSTRAINT audit_head_singleton_check CHECK (singleton)
);
ALTER TABLE ONLY audit_head ADD CONSTRAINT audit_head_pkey PRIMARY KEY (singleton);
CREATE TRIGGER audit_head_advances BEFORE UPDATE ON audit_head FOR EACH ROW WHEN (((new.sealed_from <> old.sealed_from) OR ((new.seq <> (old.seq + 1)) AND (new.seal = old.seal)))) EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER audit_head_stays BEFORE INSERT OR DELETE OR TRUNCATE ON audit_head FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();


-- Who may write text messages to whom: a binding's own choice. `route.flags` has the bit 8 where a caller may not.
CREATE TABLE binding (
    code integer NOT NULL,
    id bigint NOT NULL,
    tenant_id integer NOT NULL,
    mode text NOT NULL,
    scene text NOT NULL,
    order_id text NOT NULL,
    industrial_id text,
    province text,
    x smallint NOT NULL,                         -- serials within code
    y smallint,
    a bytea,                                     -- sealed; NULL in group modes
    b bytea NOT NULL,                            -- sealed
    members bytea[],                             -- sealed, in order; NULL unless a group mode
    max_call_s integer NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz,
    messages text DEFAULT 'both' NOT NULL,
    CONSTRAINT binding_messages_check CHECK ((messages = ANY (ARRAY['both', 'a_to_b', 'b_to_a', 'none'])))
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY binding ADD CONSTRAINT binding_pkey PRIMARY KEY (code, id);
CREATE INDEX binding_order_idx ON ONLY binding (tenant_id, order_id);
CREATE INDEX binding_tenant_idx ON ONLY binding (tenant_id, id);


-- What the recorder needs to look after a running call, also after its own restart.
-- The number that an old call was to, sealed like the other numbers of the call.
-- Which peers had a call: `caller_peer` sent it (for a sender that is no peer: its address), `callee_peer` had it last,
-- `gave_up` names those that failed it before, one a line: the SIP status, a space, the name.
-- How long a call was talked, in milliseconds, by the monotonic clock of the node that saw its answer and its end. The times
-- of a call are the wall clock's, which somebody may set meanwhile. NULL: no node saw both, or it was not answered.
CREATE TABLE call (
    code integer NOT NULL,                       -- of the called number; -1 when what was called is no 700 number
    id bigint NOT NULL,
    tenant_id integer,
    binding_id bigint,
    called smallint,                             -- serials within code
    shown smallint,
    caller bytea,                                -- sealed
    callee bytea,                                -- sealed
    node text NOT NULL,
    started_at timestamptz NOT NULL,
    ringing_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    ended_by text,                               -- caller, callee, platform
    sip_status smallint,
    q850 smallint,
    reason text,                                 -- answered, refusal's code, busy, no_answer, cancelled, …
    end_seen boolean,
    legs bytea,                                  -- sealed: what is needed to end a running call
    max_call_s integer,
    refreshed_at timestamptz,                    -- answered, or the session was refreshed
    session_expires integer,                     -- seconds; 0 when no session timer runs
    media_id text,                               -- rtpengine's call-id
    dialled bytea,
    caller_peer text,
    callee_peer text,
    gave_up text,
    talked_ms bigint
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY call ADD CONSTRAINT call_pkey PRIMARY KEY (code, id);
CREATE INDEX call_open_idx ON ONLY call (node) WHERE (ended_at IS NULL);
CREATE INDEX call_tenant_idx ON ONLY call (tenant_id, id);


-- Ending a running call: the API asks, the node that holds the call answers.
CREATE TABLE call_order (
    code integer NOT NULL,
    call_id bigint NOT NULL,
    node text NOT NULL,
    asked_at timestamptz DEFAULT now() NOT NULL,
    done_at timestamptz
);
ALTER TABLE ONLY call_order ADD CONSTRAINT call_order_pkey PRIMARY KEY (code, call_id);
CREATE INDEX call_order_open_idx ON call_order (node) WHERE (done_at IS NULL);


CREATE TABLE carrier (
    digit smallint NOT NULL,                     -- the fourth digit of a 700 number
    name text NOT NULL,
    CONSTRAINT carrier_digit_check CHECK (((digit >= 0) AND (digit <= 9)))
);
ALTER TABLE ONLY carrier ADD CONSTRAINT carrier_pkey PRIMARY KEY (digit);


CREATE TABLE certificate (
    id integer NOT NULL,
    platform_id integer NOT NULL,
    number text NOT NULL,
    provinces text[] NOT NULL,
    first_day date NOT NULL,
    last_day date NOT NULL,
    revoked_at timestamptz,
    revoked_why text,
    CONSTRAINT certificate_check CHECK ((last_day >= first_day))
);
ALTER TABLE certificate ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY certificate ADD CONSTRAINT certificate_number_key UNIQUE (number);
ALTER TABLE ONLY certificate ADD CONSTRAINT certificate_pkey PRIMARY KEY (id);
ALTER TABLE ONLY certificate ADD CONSTRAINT certificate_platform_key UNIQUE (id, platform_id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON certificate FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY certificate ADD CONSTRAINT certificate_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);


CREATE TABLE code (
    code integer NOT NULL,
    tenant_id integer,
    province text,                               -- GB/T 2260, two digits
    enabled boolean DEFAULT true NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    platform_id integer,
    certificate_id integer,
    state text DEFAULT 'assigned' NOT NULL,
    provinces text[] DEFAULT '{}'::text[] NOT NULL,  -- where its carrier has opened it
    set_aside_why text,                          -- while it is not `enabled`
    returned_at timestamptz,
    CONSTRAINT code_certificate_check CHECK (((certificate_id IS NULL) OR (platform_id IS NOT NULL))),
    CONSTRAINT code_code_check CHECK (((code >= 0) AND (code <= 99999999))),
    CONSTRAINT code_state_check CHECK ((state = ANY (ARRAY['assigned', 'opened', 'in_use', 'draining', 'returned'])))
);
ALTER TABLE ONLY code ADD CONSTRAINT code_pkey PRIMARY KEY (code);
CREATE INDEX code_certificate_idx ON code (certificate_id);
CREATE INDEX code_tenant_idx ON code (tenant_id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON code FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY code ADD CONSTRAINT code_certificate_fkey FOREIGN KEY (certificate_id, platform_id) REFERENCES certificate(id, platform_id);
ALTER TABLE ONLY code ADD CONSTRAINT code_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);
ALTER TABLE ONLY code ADD CONSTRAINT code_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);
ALTER TABLE ONLY code ADD CONSTRAINT code_tenant_platform_fkey FOREIGN KEY (tenant_id, platform_id) REFERENCES tenant(id, platform_id);


CREATE TABLE code_import (
    digest bytea NOT NULL,                       -- of the file
    lines_done bigint NOT NULL
);
ALTER TABLE ONLY code_import ADD CONSTRAINT code_import_pkey PRIMARY KEY (digest);


-- One person asks, another approves, then it may be done once, just so.
-- A request is bound to what was asked for by a keyed digest, an approval by a seal; the database has neither key.
-- Requests that are open now have no digest: they run out, and are asked for again.
CREATE TABLE dual_request (
    id text NOT NULL,
    action text NOT NULL,
    params text NOT NULL,                        -- JSON; what is approved is this and nothing else
    reason text NOT NULL,
    state text DEFAULT 'pending' NOT NULL,
    asked_by text NOT NULL,
    asked_via text NOT NULL,
    asked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    decided_by text,
    decided_via text,
    decided_at timestamptz,
    used_at timestamptz,
    key_id integer DEFAULT 0 NOT NULL,
    digest bytea DEFAULT '\x'::bytea NOT NULL,
    verdict_key_id integer DEFAULT 0 NOT NULL,
    verdict_seal bytea DEFAULT '\x'::bytea NOT NULL,
    CONSTRAINT dual_request_check CHECK (((state = 'pending') = (decided_at IS NULL))),
    CONSTRAINT dual_request_check1 CHECK (((state = 'used') = (used_at IS NOT NULL))),
    CONSTRAINT dual_request_state_check CHECK ((state = ANY (ARRAY['pending', 'approved', 'rejected', 'used']))),
    CONSTRAINT dual_request_two_persons CHECK (((state = ANY (ARRAY['pending', 'rejected'])) OR ((decided_by <> asked_by) AND (decided_via <> asked_via))))
);
ALTER TABLE ONLY dual_request ADD CONSTRAINT dual_request_pkey PRIMARY KEY (id);
CREATE INDEX dual_request_digest_idx ON dual_request (digest) WHERE (state = ANY (ARRAY['pending', 'approved']));
CREATE INDEX dual_request_open_idx ON dual_request (action, asked_by) WHERE (state = ANY (ARRAY['pending', 'approved']));
CREATE TRIGGER dual_request_moves BEFORE UPDATE ON dual_request FOR EACH ROW EXECUTE FUNCTION dual_request_moves();
CREATE TRIGGER dual_request_stays BEFORE DELETE OR TRUNCATE ON dual_request FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();


-- How many persons a grave act takes, sealed under a key that the database does not have. `seq` is the entry of the
-- audit trail that says so: when the trail has a later one, this row is an old one that somebody put back.
-- No row: two persons.
CREATE TABLE dual_rule (
    singleton boolean DEFAULT true NOT NULL,
    persons smallint NOT NULL,
    seq bigint NOT NULL,
    key_id integer NOT NULL,
    seal bytea NOT NULL,
    CONSTRAINT dual_rule_singleton_check CHECK (singleton)
);
ALTER TABLE ONLY dual_rule ADD CONSTRAINT dual_rule_pkey PRIMARY KEY (singleton);


CREATE TABLE existing_binding (
    code integer NOT NULL,                       -- of X
    id bigint NOT NULL,
    tenant_id integer NOT NULL,
    mode text NOT NULL,
    scene text NOT NULL,
    order_id text NOT NULL,
    province text,
    vendor text NOT NULL,
    vendor_id text,                              -- the vendor's id of the binding
    numbers bytea NOT NULL,                      -- X, Y, A and B in one, sealed
    max_call_s integer NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    released_at timestamptz,
    new_code integer,                            -- the 700 binding that it has become; NULL: none
    new_id bigint,
    told_at timestamptz,                         -- its parties were told the new number
    CONSTRAINT existing_binding_code_check CHECK (((code >= '-10001'::integer) AND (code <= '-2'::integer))),
    CONSTRAINT existing_binding_mode_check CHECK ((mode = ANY (ARRAY['AXB', 'AXYB', 'AXN'])))
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY existing_binding ADD CONSTRAINT existing_binding_pkey PRIMARY KEY (code, id);
CREATE INDEX existing_binding_tenant_idx ON ONLY existing_binding (tenant_id, id);


-- Where a tenant's move stands. No row: nothing of it was ever taken over.
CREATE TABLE existing_business (
    tenant_id integer NOT NULL,
    began_at timestamptz DEFAULT now() NOT NULL,
    cut_over_at timestamptz                      -- from then on the old numbers are refused
);
ALTER TABLE ONLY existing_business ADD CONSTRAINT existing_business_pkey PRIMARY KEY (tenant_id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON existing_business FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY existing_business ADD CONSTRAINT existing_business_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);


-- A (number, caller) pair each. caller_key: 8 bytes that are the number's alone, then 16 of the pair. Once moved, a
-- pair lives and ends with the 700 binding's pair (new_code, new_serial) of the same caller.
CREATE TABLE existing_route (
    code integer NOT NULL,                       -- of the number that is dialled
    caller_key bytea NOT NULL,
    next_key bytea,                              -- the same under the next hash key, during its rotation
    binding_code integer NOT NULL,
    binding_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    max_call_s integer NOT NULL,
    ends_at timestamptz NOT NULL,
    free_at timestamptz NOT NULL,
    numbers bytea NOT NULL,                      -- the binding's
    pair smallint NOT NULL,                      -- which of its pairs: 0 X and A, or X and anyone; 1 the other
    anyone boolean NOT NULL,                     -- AXN
    new_code integer,
    new_id bigint,
    new_serial smallint
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY existing_route ADD CONSTRAINT existing_route_pkey PRIMARY KEY (code, caller_key);
CREATE UNIQUE INDEX existing_route_next_key ON ONLY existing_route (code, next_key) WHERE (next_key IS NOT NULL);


-- Where the rotation of the hash key stands. Which key fills which column, and which unique key decides:
--   phase 0  none                    caller_key = current           next_key NULL    route_pkey
--   phase 1  both keys are written   caller_key = current           next_key = next  route_pkey
--   phase 2  rows are switched       caller_key = next (or current) next_key = next  route_next_key
--   phase 3  clean-up                caller_key = next              next_key NULL    route_pkey
CREATE TABLE hash_rotation (
    singleton boolean DEFAULT true NOT NULL,
    phase smallint DEFAULT 0 NOT NULL,
    current_id integer NOT NULL,
    next_id integer,
    CONSTRAINT hash_rotation_check CHECK (((phase = 0) = (next_id IS NULL))),
    CONSTRAINT hash_rotation_phase_check CHECK (((phase >= 0) AND (phase <= 3))),
    CONSTRAINT hash_rotation_singleton_check CHECK (singleton)
);
ALTER TABLE ONLY hash_rotation ADD CONSTRAINT hash_rotation_pkey PRIMARY KEY (singleton);


CREATE TABLE idempotency (
    tenant_id integer NOT NULL,
    key bytea NOT NULL,                          -- digest of the client's key (and the item's place in a bulk)
    request bytea NOT NULL,                      -- digest of the request
    code integer NOT NULL,
    binding_id bigint NOT NULL,
    created_at timestamptz NOT NULL
);
ALTER TABLE ONLY idempotency ADD CONSTRAINT idempotency_pkey PRIMARY KEY (tenant_id, key);


-- Which keys were prepared or rotated to, by fingerprints that say nothing of the keys: so two machines never give
-- one number to two keys, and a machine whose key file is not the newest makes none.
CREATE TABLE key_made (
    section text NOT NULL,
    id integer NOT NULL,
    print text NOT NULL,
    made_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT key_made_section_check CHECK ((section = ANY (ARRAY['value', 'hash', 'token'])))
);
ALTER TABLE ONLY key_made ADD CONSTRAINT key_made_pkey PRIMARY KEY (section, id);


-- How many whole real numbers were read through the API with a key, and when the last.
CREATE TABLE key_read (
    key_id text NOT NULL,
    numbers bigint NOT NULL,
    last_at timestamptz NOT NULL
);
ALTER TABLE ONLY key_read ADD CONSTRAINT key_read_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY key_read ADD CONSTRAINT key_read_key_id_fkey FOREIGN KEY (key_id) REFERENCES api_key(id) ON DELETE CASCADE;


-- Text messages (core/messages.py). A row is a message, or a part of a long one, as it was acknowledged to its sender:
-- its record and, until it is final, all that is needed to send it. Numbers are sealed as those of calls are; the
-- text is sealed under (code, id) and goes when the message is final.
-- `out_part`: the part that went out last and was not answered, `out_tries` times so far; `stated_at`: the date that a
-- peer gave in its receipt, which decides nothing.
CREATE TABLE message (
    code integer NOT NULL,                       -- of the number written to; -1 when that is no 700 number
    id bigint NOT NULL,
    kind text NOT NULL,                          -- relay: a party's; platform: sent for a party; notice: to a refused sender
    tenant_id integer,
    binding_id bigint,
    called smallint,                             -- serials within code
    shown smallint,                              -- what the receiver sees
    sender bytea,                                -- sealed
    receiver bytea,                              -- sealed
    body bytea,                                  -- sealed: what is to be sent
    content text,                                -- what the record shows of the text: starred
    flags smallint DEFAULT 0 NOT NULL,           -- 1: a receipt is wanted, 2: only of failure, 4: a number is in the text
    node text NOT NULL,                          -- whose gateway has it; empty: nobody's yet
    in_link text,
    in_ref text,
    long_ref integer,                            -- a part's place in a long message, as it came
    long_total smallint,
    long_seq smallint,
    whole_id bigint,                             -- the message that the parts were joined to
    joined bigint[],                             -- of that message: its other parts
    state text NOT NULL,
    reason text,
    rule text,
    error text,                                  -- the network's code
    out_link text,
    out_long text,                               -- how it was split, once a part of it was taken
    parts smallint,                              -- in which it leaves
    attempts smallint DEFAULT 0 NOT NULL,
    created_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    sent_at timestamptz,
    final_at timestamptz,
    due_at timestamptz,                          -- when something is to be done; NULL: all is done
    out_part smallint,
    out_tries smallint DEFAULT 0 NOT NULL,
    stated_at timestamptz,
    out_ref integer DEFAULT nextval('message_out_ref'::regclass)
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY message ADD CONSTRAINT message_pkey PRIMARY KEY (code, id);
CREATE INDEX message_due_idx ON ONLY message (node, due_at) WHERE (due_at IS NOT NULL);
CREATE UNIQUE INDEX message_in_key ON ONLY message (code, in_link, in_ref) WHERE (in_ref IS NOT NULL);
CREATE INDEX message_tenant_idx ON ONLY message (tenant_id, id);
CREATE INDEX message_waiting_idx ON ONLY message (code, binding_id, long_ref, long_total) WHERE ((long_total > 1) AND (whole_id IS NULL) AND (joined IS NULL) AND (state = 'queued'));


-- Gateways that hold text messages (message.node). A gateway says each second that it lives. When it has been silent
-- for long, its messages may be given to another node: `epoch` goes up, so that the old gateway, if it wakes, knows
-- that it must not send what it has in memory. `taken_by` adopts what of the node's comes due later, until the node
-- begins again.
-- The newest keys of each gateway's key file: a rotation takes no key that a gateway has not got.
CREATE TABLE message_node (
    node text NOT NULL,
    epoch bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    taken_by text,
    keys jsonb DEFAULT '{}'::jsonb NOT NULL
);
ALTER TABLE ONLY message_node ADD CONSTRAINT message_node_pkey PRIMARY KEY (node);


-- What a tenant wants done with the text of its messages (core/content.py); no row: the default.
CREATE TABLE message_policy (
    tenant_id integer NOT NULL,
    numbers text NOT NULL,
    hook text NOT NULL,
    url text,
    timeout_ms integer NOT NULL,
    on_timeout text NOT NULL,
    secret bytea NOT NULL,                       -- sealed: what the hook's questions are signed with
    changed_at timestamptz NOT NULL,
    CONSTRAINT message_policy_check CHECK (((url IS NOT NULL) OR (hook <> 'ask'))),
    CONSTRAINT message_policy_hook_check CHECK ((hook = ANY (ARRAY['forward', 'block', 'ask']))),
    CONSTRAINT message_policy_numbers_check CHECK ((numbers = ANY (ARRAY['mask', 'block', 'pass']))),
    CONSTRAINT message_policy_on_timeout_check CHECK ((on_timeout = ANY (ARRAY['continue', 'block'])))
);
ALTER TABLE ONLY message_policy ADD CONSTRAINT message_policy_pkey PRIMARY KEY (tenant_id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON message_policy FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY message_policy ADD CONSTRAINT message_policy_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);


-- Receipts that were acknowledged before anybody knew whose they are: another node's, or of a part whose answer is
-- not in message_sent yet. The node that has the message takes them. `refs`: the ids that may be meant, the likeliest
-- first; `pair`: a keyed hash of the numbers that the receipt names. The code is not known, so it is not in the key.
CREATE TABLE message_receipt (
    id bigint NOT NULL,
    link text NOT NULL,
    refs text[] NOT NULL,
    state text NOT NULL,
    error text NOT NULL,
    stated_at timestamptz,
    pair bytea,
    at timestamptz DEFAULT now() NOT NULL
);
ALTER TABLE message_receipt ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY message_receipt ADD CONSTRAINT message_receipt_pkey PRIMARY KEY (id);
CREATE INDEX message_receipt_at_idx ON message_receipt (at);
CREATE UNIQUE INDEX message_receipt_key ON message_receipt (link, refs, state);


-- The parts of messages that peers have taken, until the message is final: whose receipt is it?
CREATE TABLE message_sent (
    code integer NOT NULL,
    id bigint NOT NULL,
    part smallint NOT NULL,
    link text NOT NULL,
    ref text NOT NULL,
    state text NOT NULL,
    error text,
    sent_at timestamptz NOT NULL
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY message_sent ADD CONSTRAINT message_sent_pkey PRIMARY KEY (code, id, part);
CREATE INDEX message_sent_ref_idx ON ONLY message_sent (ref, link);


CREATE TABLE migration (
    id integer NOT NULL,
    tenant_id integer NOT NULL,
    digest bytea NOT NULL,                       -- of the file and of how it is read
    file text NOT NULL,                          -- its name
    batch integer NOT NULL,                      -- bindings of one transaction
    began_at timestamptz DEFAULT now() NOT NULL,
    checked_at timestamptz,                      -- the whole file was checked
    total bigint,                                -- bindings in it, once that is known
    finished_at timestamptz                      -- every batch is done
);
ALTER TABLE migration ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY migration ADD CONSTRAINT migration_file_key UNIQUE (tenant_id, digest);
ALTER TABLE ONLY migration ADD CONSTRAINT migration_pkey PRIMARY KEY (id);
ALTER TABLE ONLY migration ADD CONSTRAINT migration_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);


CREATE TABLE migration_batch (
    migration_id integer NOT NULL,
    number integer NOT NULL,                     -- from 0
    moved integer NOT NULL,                      -- got a 700 number
    kept integer NOT NULL,                       -- serve under their old number alone
    earlier integer NOT NULL,                    -- were there before
    rejected integer NOT NULL,
    done boolean NOT NULL                        -- false: some were refused for want of numbers or rights; try again
);
ALTER TABLE ONLY migration_batch ADD CONSTRAINT migration_batch_pkey PRIMARY KEY (migration_id, number);
ALTER TABLE ONLY migration_batch ADD CONSTRAINT migration_batch_migration_id_fkey FOREIGN KEY (migration_id) REFERENCES migration(id);


CREATE TABLE migration_reject (
    migration_id integer NOT NULL,
    place bigint NOT NULL,                       -- of the binding in the file, from 1
    line bigint NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,                        -- without numbers
    checked boolean NOT NULL                     -- found when the whole file was checked: no batch tries it
);
ALTER TABLE ONLY migration_reject ADD CONSTRAINT migration_reject_pkey PRIMARY KEY (migration_id, place);
ALTER TABLE ONLY migration_reject ADD CONSTRAINT migration_reject_migration_id_fkey FOREIGN KEY (migration_id) REFERENCES migration(id);


CREATE TABLE nonce (
    key_id text NOT NULL,
    nonce text NOT NULL,
    seen_at timestamptz DEFAULT now() NOT NULL
);
ALTER TABLE ONLY nonce ADD CONSTRAINT nonce_pkey PRIMARY KEY (key_id, nonce);


CREATE TABLE number_lock (
    code integer NOT NULL,
    serial smallint NOT NULL,
    stops_calls boolean NOT NULL,                -- false: it is bound no more, but what is bound goes on
    why text NOT NULL,
    locked_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT number_lock_serial_check CHECK (((serial >= 0) AND (serial <= 9999)))
);
ALTER TABLE ONLY number_lock ADD CONSTRAINT number_lock_pkey PRIMARY KEY (code, serial);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON number_lock FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();


-- A trace by a party's number says whether this number is the party, so it could be asked for each number that fits a
-- masked one. Who asked, and when, is kept for a day: a person may ask so only so often.
CREATE TABLE party_trace (
    id bigint NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    at timestamptz NOT NULL
);
ALTER TABLE party_trace ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY party_trace ADD CONSTRAINT party_trace_pkey PRIMARY KEY (id);
CREATE INDEX party_trace_at_idx ON party_trace (at);


-- What was refused beyond it, counted by the hour.
CREATE TABLE party_trace_refused (
    actor text NOT NULL,
    via text NOT NULL,
    hour timestamptz NOT NULL,
    count integer NOT NULL,
    last_at timestamptz NOT NULL
);
ALTER TABLE ONLY party_trace_refused ADD CONSTRAINT party_trace_refused_pkey PRIMARY KEY (actor, via, hour);


CREATE TABLE platform (
    id integer NOT NULL,
    name text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL
);
ALTER TABLE platform ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY platform ADD CONSTRAINT platform_name_key UNIQUE (name);
ALTER TABLE ONLY platform ADD CONSTRAINT platform_pkey PRIMARY KEY (id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON platform FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();


CREATE TABLE pool_figure (
    tenant_id integer NOT NULL,                  -- 0: codes of no tenant
    province text NOT NULL,                      -- '': none
    scene text NOT NULL,
    at timestamptz NOT NULL,
    total bigint NOT NULL,
    free bigint NOT NULL,
    bound bigint NOT NULL,
    quarantined bigint NOT NULL,
    locked bigint NOT NULL
);
ALTER TABLE ONLY pool_figure ADD CONSTRAINT pool_figure_pkey PRIMARY KEY (tenant_id, province, scene, at);
CREATE INDEX pool_figure_at_idx ON pool_figure (at);


CREATE TABLE pool_sample (
    at timestamptz NOT NULL,
    codes bigint NOT NULL,                       -- that there were
    counted bigint NOT NULL                      -- that were looked into
);
ALTER TABLE ONLY pool_sample ADD CONSTRAINT pool_sample_pkey PRIMARY KEY (at);


-- How many live bindings a tenant may have: in a scene, in a province; NULL: in all of them together.
CREATE TABLE quota (
    id integer NOT NULL,
    tenant_id integer NOT NULL,
    scene text,
    province text,
    most bigint NOT NULL,
    CONSTRAINT quota_most_check CHECK ((most >= 0))
);
ALTER TABLE quota ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY quota ADD CONSTRAINT quota_key UNIQUE NULLS NOT DISTINCT (tenant_id, scene, province);
ALTER TABLE ONLY quota ADD CONSTRAINT quota_pkey PRIMARY KEY (id);
CREATE TRIGGER standing_changed AFTER INSERT OR DELETE OR UPDATE ON quota FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY quota ADD CONSTRAINT quota_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant(id);


-- Live bindings of each quota, and when they end: those of minute m end at m or up to a minute before it. So a
-- binding may count for some seconds after its end, but never is one forgotten, and no job has to run.
CREATE TABLE quota_count (
    quota_id integer NOT NULL,
    used bigint DEFAULT 0 NOT NULL               -- the sum of quota_end.count
);
ALTER TABLE ONLY quota_count ADD CONSTRAINT quota_count_pkey PRIMARY KEY (quota_id);
ALTER TABLE ONLY quota_count ADD CONSTRAINT quota_count_quota_id_fkey FOREIGN KEY (quota_id) REFERENCES quota(id) ON DELETE CASCADE;


CREATE TABLE quota_end (
    quota_id integer NOT NULL,
    minute timestamptz NOT NULL,
    count bigint NOT NULL
);
ALTER TABLE ONLY quota_end ADD CONSTRAINT quota_end_pkey PRIMARY KEY (quota_id, minute);
ALTER TABLE ONLY quota_end ADD CONSTRAINT quota_end_quota_id_fkey FOREIGN KEY (quota_id) REFERENCES quota(id) ON DELETE CASCADE;


CREATE TABLE rotation_progress (
    job text NOT NULL,
    part text NOT NULL,
    done_to text,
    rows_done bigint DEFAULT 0 NOT NULL,
    finished_at timestamptz
);
ALTER TABLE ONLY rotation_progress ADD CONSTRAINT rotation_progress_pkey PRIMARY KEY (job, part);


-- One row for each (number, caller) pair that is bound or in quarantine. The primary key is what makes a wrong
-- double use impossible; a row whose free_at has passed is free to be taken over.
CREATE TABLE route (
    code integer NOT NULL,
    serial smallint NOT NULL,
    caller_key bytea NOT NULL,                   -- HMAC-SM3 of the caller, first 16 bytes
    next_key bytea,                              -- the same under the next hash key, during its rotation
    binding_id bigint NOT NULL,
    tenant_id integer NOT NULL,
    shown smallint NOT NULL,                     -- the serial that the callee sees
    flags smallint DEFAULT 0 NOT NULL,           -- 1: B calls the group, 2: a member calls B
    max_call_s integer NOT NULL,
    ends_at timestamptz NOT NULL,
    free_at timestamptz NOT NULL,                -- ends_at and the quarantine
    callee bytea NOT NULL,                       -- sealed
    caller bytea NOT NULL                        -- sealed
)
PARTITION BY HASH (code);  -- 16 partitions
ALTER TABLE ONLY route ADD CONSTRAINT route_pkey PRIMARY KEY (code, serial, caller_key);
CREATE UNIQUE INDEX route_next_key ON ONLY route (code, serial, next_key) WHERE (next_key IS NOT NULL);


-- Which revision of the functions the database has. They stand in sql/functions and are run again when they have
-- changed.
CREATE TABLE schema_functions (
    singleton boolean DEFAULT true NOT NULL,
    revision integer NOT NULL,
    digest text NOT NULL,                        -- SHA-256 of the files
    names text[] NOT NULL,                       -- of the functions: one that leaves the files is dropped
    applied_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT schema_functions_singleton_check CHECK (singleton)
);
ALTER TABLE ONLY schema_functions ADD CONSTRAINT schema_functions_pkey PRIMARY KEY (singleton);


CREATE TABLE schema_version (
    name text NOT NULL,
    applied_at timestamptz DEFAULT now() NOT NULL
);
ALTER TABLE ONLY schema_version ADD CONSTRAINT schema_version_pkey PRIMARY KEY (name);


-- Grows with every change of what rules depend on. Whoever keeps such things in memory keeps this number with
-- them; every bind and every call reads it along with what it reads anyway.
CREATE TABLE standing (
    singleton boolean DEFAULT true NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    CONSTRAINT standing_singleton_check CHECK (singleton)
);
ALTER TABLE ONLY standing ADD CONSTRAINT standing_pkey PRIMARY KEY (singleton);


-- A tenant sits under one application platform, and so do its codes: the foreign keys refuse to hand numbers on.
CREATE TABLE tenant (
    id integer NOT NULL,
    name text NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    platform_id integer
);
ALTER TABLE tenant ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY;
ALTER TABLE ONLY tenant ADD CONSTRAINT tenant_name_key UNIQUE (name);
ALTER TABLE ONLY tenant ADD CONSTRAINT tenant_pkey PRIMARY KEY (id);
ALTER TABLE ONLY tenant ADD CONSTRAINT tenant_platform_key UNIQUE (id, platform_id);
CREATE TRIGGER standing_changed AFTER UPDATE OF platform_id ON tenant FOR EACH STATEMENT EXECUTE FUNCTION standing_changed();
ALTER TABLE ONLY tenant ADD CONSTRAINT tenant_platform_id_fkey FOREIGN KEY (platform_id) REFERENCES platform(id);
