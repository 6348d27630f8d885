-- How a workspace answers, what shop it belongs to, and how it is put aside or deleted.

ALTER TABLE workspace ADD COLUMN settings TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(settings));
ALTER TABLE workspace ADD COLUMN commerce TEXT CHECK (commerce IS NULL OR json_valid(commerce));
ALTER TABLE workspace ADD COLUMN archived_at TEXT;
-- From here on it answers like one that never existed; a job removes what it holds.
ALTER TABLE workspace ADD COLUMN deleting_at TEXT;

-- What is left of a deleted workspace: that it was deleted. Nothing in it but the name.
CREATE TABLE workspace_deletion (
    workspace_id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at TEXT NOT NULL,
    finished_at TEXT
) STRICT;
