-- What a run is doing, what a dry run would do, deletions that wait for a person, and how a source is doing and why.

ALTER TABLE run ADD COLUMN retry_of UUID;
ALTER TABLE run ADD COLUMN stage TEXT;
ALTER TABLE run ADD COLUMN stage_since TIMESTAMPTZ;
ALTER TABLE run ADD COLUMN stage_moved_at TIMESTAMPTZ;
ALTER TABLE run ADD COLUMN waiting_for TEXT;
ALTER TABLE run ADD COLUMN waiting_until TIMESTAMPTZ;
-- Pages in a row that named nothing new.
ALTER TABLE run ADD COLUMN stale_pages BIGINT NOT NULL DEFAULT 0;
-- Set with the last page: only the run's end is missing.
ALTER TABLE run ADD COLUMN traversal TEXT;
-- What a dry run's connector wrote into its memory: for the pages that follow, and not for the source.
ALTER TABLE run ADD COLUMN preview_state JSONB;

ALTER TABLE source ADD COLUMN health_code TEXT;
ALTER TABLE source ADD COLUMN health_detail TEXT;
ALTER TABLE source ADD COLUMN health_since TIMESTAMPTZ;
ALTER TABLE source ADD COLUMN last_success_at TIMESTAMPTZ;
ALTER TABLE source ADD COLUMN last_change_at TIMESTAMPTZ;
-- Deletions past both are held; null is the server's default.
ALTER TABLE source ADD COLUMN guard_percent BIGINT;
ALTER TABLE source ADD COLUMN guard_items BIGINT;

-- What a dry run would have changed.
CREATE TABLE run_preview (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    item_no BIGINT NOT NULL,
    change TEXT COLLATE "C" NOT NULL CHECK (change IN ('add', 'update', 'delete')),
    external_id TEXT NOT NULL,
    title TEXT NOT NULL,
    document_id UUID,
    PRIMARY KEY (workspace_id, run_id, item_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
);

-- Deletions of a run that the guard held, and what a person decided; one of a source is open at most.
CREATE TABLE deletion_hold (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    source_id UUID NOT NULL,
    config_revision BIGINT NOT NULL,
    unseen BIGINT NOT NULL,
    live BIGINT NOT NULL,
    position BIGINT NOT NULL,
    held_at TIMESTAMPTZ NOT NULL,
    decision TEXT COLLATE "C" CHECK (decision IN ('approved', 'dismissed', 'superseded')),
    note TEXT,
    decided_by TEXT,
    decided_at TIMESTAMPTZ,
    PRIMARY KEY (workspace_id, run_id),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);
CREATE UNIQUE INDEX deletion_hold_open ON deletion_hold (workspace_id, source_id) WHERE decision IS NULL;

CREATE TABLE held_deletion (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    document_id UUID NOT NULL,
    PRIMARY KEY (workspace_id, run_id, document_id),
    FOREIGN KEY (workspace_id, run_id) REFERENCES deletion_hold (workspace_id, run_id)
);

ALTER TABLE run_preview ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_preview FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON run_preview USING (
    workspace_id = NULLIF(current_setting('tributary.workspace', true), '')::uuid
    OR current_setting('tributary.system', true) = 'on'
);

ALTER TABLE deletion_hold ENABLE ROW LEVEL SECURITY;
ALTER TABLE deletion_hold FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON deletion_hold USING (
    workspace_id = NULLIF(current_setting('tributary.workspace', true), '')::uuid
    OR current_setting('tributary.system', true) = 'on'
);

ALTER TABLE held_deletion ENABLE ROW LEVEL SECURITY;
ALTER TABLE held_deletion FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON held_deletion USING (
    workspace_id = NULLIF(current_setting('tributary.workspace', true), '')::uuid
    OR current_setting('tributary.system', true) = 'on'
);
