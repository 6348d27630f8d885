-- A schedule is a row of its own: a source has one for syncs, one for full resyncs, or both.
CREATE TABLE schedule (
    workspace_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('sync', 'full')),
    cron TEXT,
    timezone TEXT,
    every_s INTEGER,
    overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'cancel')),
    catch_up_s INTEGER NOT NULL,
    jitter_s INTEGER,
    anchor_at TEXT NOT NULL,
    next_slot_at TEXT,
    next_at TEXT,
    queued_slot_at TEXT,
    set_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, source_id, kind),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id),
    CHECK ((every_s IS NULL) = (cron IS NOT NULL)),
    CHECK ((cron IS NULL) = (timezone IS NULL)),
    CHECK ((next_slot_at IS NULL) = (next_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedule_queued ON schedule (queued_slot_at) WHERE queued_slot_at IS NOT NULL;
CREATE INDEX schedule_set ON schedule (set_at);

INSERT INTO schedule (workspace_id, source_id, kind, cron, timezone, overlap, catch_up_s, anchor_at, next_slot_at, next_at, set_at)
SELECT workspace_id, id, 'sync', cron, timezone, 'skip', 86400, created_at, next_run_at, next_run_at, created_at
FROM source WHERE cron IS NOT NULL AND timezone IS NOT NULL AND deleted_at IS NULL;

DROP INDEX source_due;
ALTER TABLE source DROP COLUMN cron;
ALTER TABLE source DROP COLUMN timezone;
ALTER TABLE source DROP COLUMN next_run_at;

-- A paused source: its schedules have no next moment.
ALTER TABLE source ADD COLUMN paused_at TEXT;
ALTER TABLE source ADD COLUMN paused_by TEXT;
ALTER TABLE source ADD COLUMN pause_reason TEXT;
ALTER TABLE source ADD COLUMN pause_note TEXT;
ALTER TABLE source ADD COLUMN pause_after_failures INTEGER NOT NULL DEFAULT 5;
-- Runs asked for before this do not count as failures in a row.
ALTER TABLE source ADD COLUMN failures_since TEXT;

-- What became of each slot; unique, so that many hosts fire it once.
DROP TABLE schedule_slot;
CREATE TABLE schedule_slot (
    workspace_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    slot TEXT NOT NULL,
    fired_at TEXT NOT NULL,
    outcome TEXT NOT NULL,
    run_id BLOB,
    PRIMARY KEY (workspace_id, source_id, kind, slot),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT, WITHOUT ROWID;
