-- Who may come in: log-ins, invitations, password resets, API keys.

ALTER TABLE app_user ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE app_user ADD COLUMN deactivated_at TEXT;
-- Which documents; NULL: all of them.
ALTER TABLE member ADD COLUMN audience TEXT CHECK (audience IS NULL OR json_valid(audience));
-- Verifies tokens until then, signs none.
ALTER TABLE signing_key ADD COLUMN retired_at TEXT;

-- Grows with every change of who may do what. Hosts watch it to know when what they remember is out of date.
CREATE TABLE identity_epoch (
    name TEXT NOT NULL PRIMARY KEY CHECK (name = 'identity'),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO identity_epoch (name, epoch) VALUES ('identity', 0);

-- One log-in.
CREATE TABLE session (
    id BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES app_user (id),
    created_at TEXT NOT NULL,
    last_used_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    from_ip TEXT,
    client TEXT,
    ended_at TEXT,
    ended_why TEXT
) STRICT;
CREATE INDEX session_of_user ON session (user_id, id);

-- Each is used once; its successor names it as parent.
CREATE TABLE refresh_token (
    hash BLOB NOT NULL PRIMARY KEY,
    session_id BLOB NOT NULL REFERENCES session (id),
    parent BLOB UNIQUE,
    issued_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT;
CREATE INDEX refresh_token_session ON refresh_token (session_id);

CREATE TABLE invitation (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    id BLOB NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    audience TEXT CHECK (audience IS NULL OR json_valid(audience)),
    invited_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    accepted_at TEXT,
    PRIMARY KEY (workspace_id, id)
) STRICT;

CREATE TABLE password_reset (
    token_hash BLOB NOT NULL PRIMARY KEY,
    user_id BLOB NOT NULL REFERENCES app_user (id),
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    used_at TEXT
) STRICT;

CREATE TABLE api_key (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL UNIQUE,
    last4 TEXT NOT NULL,
    scopes TEXT NOT NULL CHECK (json_valid(scopes)),
    audience TEXT NOT NULL CHECK (json_valid(audience)),
    created_by TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    replaces BLOB,
    revoked_at TEXT,
    last_used_at TEXT,
    PRIMARY KEY (workspace_id, id)
) STRICT;

-- Ready to plot: one row for each key and day (UTC, 2026-11-23).
CREATE TABLE key_usage (
    workspace_id BLOB NOT NULL,
    key_id BLOB NOT NULL,
    day TEXT NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, key_id, day),
    FOREIGN KEY (workspace_id, key_id) REFERENCES api_key (workspace_id, id)
) STRICT;
