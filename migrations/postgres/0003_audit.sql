-- Who changed what: rows are added and never changed, each holding the hash of the one before.
-- No reference to workspace: the log outlives what it tells of.
-- detail is JSON, not JSONB, because the hash covers its very text.
CREATE TABLE audit_event (
    seq BIGINT NOT NULL PRIMARY KEY,
    at TIMESTAMPTZ NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    workspace_id UUID,
    target TEXT NOT NULL,
    from_ip TEXT,
    request_id TEXT,
    outcome TEXT NOT NULL,
    detail JSON NOT NULL,
    prev_hash BYTEA NOT NULL,
    hash BYTEA NOT NULL
);
CREATE INDEX audit_event_workspace ON audit_event (workspace_id, seq) WHERE workspace_id IS NOT NULL;

-- The newest event: one row, locked by whoever appends. It shows when events are missing at the end.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows: % of % is refused', TG_OP, TG_TABLE_NAME;
END
$$;
CREATE TRIGGER audit_event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
CREATE TRIGGER audit_head_no_delete BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
