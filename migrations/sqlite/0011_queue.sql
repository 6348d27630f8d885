-- The durable queue: found by index whatever waits, unique by key while open, and what is done once among all hosts.

-- Unique among the open jobs of a workspace.
ALTER TABLE job ADD COLUMN dedup_key TEXT;
-- A queued job whose time has come. One that waits is made due by whoever claims next after its run_at.
ALTER TABLE job ADD COLUMN due INTEGER NOT NULL DEFAULT 1;
-- For how long it was leased: a lease that ends later than that from now shows that the clock was set back.
ALTER TABLE job ADD COLUMN lease_ms INTEGER;

DROP INDEX job_open;
CREATE INDEX job_due ON job (kind, workspace_id, priority, run_at, id) WHERE state = 'queued' AND due;
CREATE INDEX job_later ON job (run_at) WHERE state = 'queued' AND NOT due;
CREATE INDEX job_leased ON job (workspace_id, lease_until) WHERE state = 'leased';
-- None by state alone: a planner that has no idea how many are queued would take it for a claim.
CREATE INDEX job_dead ON job (id) WHERE state = 'dead';
CREATE UNIQUE INDEX job_dedup ON job (workspace_id, dedup_key) WHERE dedup_key IS NOT NULL AND state IN ('queued', 'leased');

-- Work of the whole instance that comes round again, done by one host at a time.
CREATE TABLE chore (
    name TEXT NOT NULL PRIMARY KEY,
    next_at TEXT NOT NULL,
    lease_until TEXT,
    holder TEXT
) STRICT;

-- Found when they have ended, to be forgotten.
CREATE INDEX refresh_token_expires ON refresh_token (expires_at);
-- The run that a job drives.
CREATE INDEX run_of_job ON run (job_id) WHERE finished_at IS NULL;
