-- Who changed what: rows are added and never changed, each holding the hash of the one before.
-- No reference to workspace: the log outlives what it tells of.
CREATE TABLE audit_event (
    seq INTEGER NOT NULL PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    workspace_id BLOB,
    target TEXT NOT NULL,
    from_ip TEXT,
    request_id TEXT,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL CHECK (json_valid(detail)),
    prev_hash BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_event_workspace ON audit_event (workspace_id, seq) WHERE workspace_id IS NOT NULL;

-- The newest event: one row, locked by whoever appends. It shows when events are missing at the end.
CREATE TABLE audit_head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, zeroblob(32));

CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event
BEGIN SELECT raise(ABORT, 'the audit log only grows: UPDATE is refused'); END;
CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event
BEGIN SELECT raise(ABORT, 'the audit log only grows: DELETE is refused'); END;
-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_event_no_replace BEFORE INSERT ON audit_event
WHEN EXISTS (SELECT 1 FROM audit_event WHERE seq = NEW.seq)
BEGIN SELECT raise(ABORT, 'the audit log only grows: REPLACE is refused'); END;
CREATE TRIGGER audit_head_no_delete BEFORE DELETE ON audit_head
BEGIN SELECT raise(ABORT, 'the head of the audit log stays: DELETE is refused'); END;
