SET LOCAL tributary.system = 'on';

-- A schedule is a row of its own: a source has one for syncs, one for full resyncs, or both.
CREATE TABLE schedule (
    workspace_id UUID NOT NULL,
    source_id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL CHECK (kind IN ('sync', 'full')),
    cron TEXT,
    timezone TEXT,
    every_s BIGINT,
    overlap TEXT NOT NULL CHECK (overlap IN ('skip', 'queue', 'cancel')),
    catch_up_s BIGINT NOT NULL,
    jitter_s BIGINT,
    anchor_at TIMESTAMPTZ NOT NULL,
    next_slot_at TIMESTAMPTZ,
    next_at TIMESTAMPTZ,
    queued_slot_at TIMESTAMPTZ,
    set_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (workspace_id, source_id, kind),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id),
    CHECK ((every_s IS NULL) = (cron IS NOT NULL)),
    CHECK ((cron IS NULL) = (timezone IS NULL)),
    CHECK ((next_slot_at IS NULL) = (next_at IS NULL))
);
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
ALTER TABLE source ADD COLUMN paused_at TIMESTAMPTZ;
ALTER TABLE source ADD COLUMN paused_by TEXT;
ALTER TABLE source ADD COLUMN pause_reason TEXT;
ALTER TABLE source ADD COLUMN pause_note TEXT;
ALTER TABLE source ADD COLUMN pause_after_failures BIGINT NOT NULL DEFAULT 5;
-- Runs asked for before this do not count as failures in a row.
ALTER TABLE source ADD COLUMN failures_since TIMESTAMPTZ;

-- What became of each slot; unique, so that many hosts fire it once.
DROP TABLE schedule_slot;
CREATE TABLE schedule_slot (
    workspace_id UUID NOT NULL,
    source_id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    slot TIMESTAMPTZ NOT NULL,
    fired_at TIMESTAMPTZ NOT NULL,
    outcome TEXT NOT NULL,
    run_id UUID,
    PRIMARY KEY (workspace_id, source_id, kind, slot),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);

DO $$
DECLARE
    tenant TEXT;
BEGIN
    FOREACH tenant IN ARRAY ARRAY['schedule', 'schedule_slot']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant);
        EXECUTE format(
            'CREATE POLICY one_workspace ON %I USING (
                 workspace_id = NULLIF(current_setting(''tributary.workspace'', true), '''')::uuid
                 OR current_setting(''tributary.system'', true) = ''on''
             )',
            tenant
        );
    END LOOP;
END $$;
