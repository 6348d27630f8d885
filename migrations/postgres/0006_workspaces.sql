-- How a workspace answers, what shop it belongs to, and how it is put aside or deleted.

ALTER TABLE workspace ADD COLUMN settings JSONB NOT NULL DEFAULT '{}';
ALTER TABLE workspace ADD COLUMN commerce JSONB;
ALTER TABLE workspace ADD COLUMN archived_at TIMESTAMPTZ;
-- From here on it answers like one that never existed; a job removes what it holds.
ALTER TABLE workspace ADD COLUMN deleting_at TIMESTAMPTZ;

-- What is left of a deleted workspace: that it was deleted. Nothing in it but the name.
CREATE TABLE workspace_deletion (
    workspace_id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
