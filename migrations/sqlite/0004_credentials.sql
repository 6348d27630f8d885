-- Secrets at rest. What is sealed here opens with the master key alone, which is not in the database.

-- The name of the master key in force; at most one row.
CREATE TABLE master_key (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Random secrets sealed by the master key, such as the data key of each workspace: workspace/ID.
CREATE TABLE system_secret (
    name TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- What connectors log in with, sealed by the workspace's data key; fields are the names alone.
CREATE TABLE credential (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    fields TEXT NOT NULL CHECK (json_valid(fields)),
    sealed BLOB NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    last_used_at TEXT,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, name)
) STRICT, WITHOUT ROWID;

-- Keys that stood here in clear are not trusted any more; a new one is made, and everybody logs in once again.
DELETE FROM signing_key;
ALTER TABLE signing_key RENAME COLUMN pkcs8 TO sealed_pkcs8;
