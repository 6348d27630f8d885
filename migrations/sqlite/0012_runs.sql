-- What a run is doing, what a dry run would do, deletions that wait for a person, and how a source is doing and why.

ALTER TABLE run ADD COLUMN retry_of BLOB;
ALTER TABLE run ADD COLUMN stage TEXT;
ALTER TABLE run ADD COLUMN stage_since TEXT;
ALTER TABLE run ADD COLUMN stage_moved_at TEXT;
ALTER TABLE run ADD COLUMN waiting_for TEXT;
ALTER TABLE run ADD COLUMN waiting_until TEXT;
-- Pages in a row that named nothing new.
ALTER TABLE run ADD COLUMN stale_pages INTEGER NOT NULL DEFAULT 0;
-- Set with the last page: only the run's end is missing.
ALTER TABLE run ADD COLUMN traversal TEXT;
-- What a dry run's connector wrote into its memory: for the pages that follow, and not for the source.
ALTER TABLE run ADD COLUMN preview_state TEXT CHECK (preview_state IS NULL OR json_valid(preview_state));

ALTER TABLE source ADD COLUMN health_code TEXT;
ALTER TABLE source ADD COLUMN health_detail TEXT;
ALTER TABLE source ADD COLUMN health_since TEXT;
ALTER TABLE source ADD COLUMN last_success_at TEXT;
ALTER TABLE source ADD COLUMN last_change_at TEXT;
-- Deletions past both are held; null is the server's default.
ALTER TABLE source ADD COLUMN guard_percent INTEGER;
ALTER TABLE source ADD COLUMN guard_items INTEGER;

-- What a dry run would have changed.
CREATE TABLE run_preview (
    workspace_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    item_no INTEGER NOT NULL,
    change TEXT NOT NULL CHECK (change IN ('add', 'update', 'delete')),
    external_id TEXT NOT NULL,
    title TEXT NOT NULL,
    document_id BLOB,
    PRIMARY KEY (workspace_id, run_id, item_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
) STRICT;

-- Deletions of a run that the guard held, and what a person decided; one of a source is open at most.
CREATE TABLE deletion_hold (
    workspace_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    config_revision INTEGER NOT NULL,
    unseen INTEGER NOT NULL,
    live INTEGER NOT NULL,
    position INTEGER NOT NULL,
    held_at TEXT NOT NULL,
    decision TEXT CHECK (decision IN ('approved', 'dismissed', 'superseded')),
    note TEXT,
    decided_by TEXT,
    decided_at TEXT,
    PRIMARY KEY (workspace_id, run_id),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT;
CREATE UNIQUE INDEX deletion_hold_open ON deletion_hold (workspace_id, source_id) WHERE decision IS NULL;

CREATE TABLE held_deletion (
    workspace_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    document_id BLOB NOT NULL,
    PRIMARY KEY (workspace_id, run_id, document_id),
    FOREIGN KEY (workspace_id, run_id) REFERENCES deletion_hold (workspace_id, run_id)
) STRICT;
