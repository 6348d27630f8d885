-- Secrets at rest. What is sealed here opens with the master key alone, which is not in the database.

-- The name of the master key in force; at most one row.
CREATE TABLE master_key (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    key_id TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- Random secrets sealed by the master key, such as the data key of each workspace: workspace/ID.
CREATE TABLE system_secret (
    name TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- What connectors log in with, sealed by the workspace's data key; fields are the names alone.
CREATE TABLE credential (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    id UUID NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    fields JSONB NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, name)
);

-- Keys that stood here in clear are not trusted any more; a new one is made, and everybody logs in once again.
DELETE FROM signing_key;
ALTER TABLE signing_key RENAME COLUMN pkcs8 TO sealed_pkcs8;
