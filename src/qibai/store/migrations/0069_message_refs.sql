-- `out_ref`: what the parts of a long text refer to. It was made from the id; so of two long texts to a phone at the
-- same time, 1 pair in 256 had the same, and the phone mixed their parts. Counted, texts share it only if a multiple
-- of 256 (`udh8`) or 65536 other messages lie between.
CREATE SEQUENCE message_out_ref AS integer MINVALUE 0 MAXVALUE 65535 CYCLE;
ALTER TABLE message ADD COLUMN out_ref integer;
ALTER TABLE message ALTER COLUMN out_ref SET DEFAULT nextval('message_out_ref');
