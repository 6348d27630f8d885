-- Who may come in: log-ins, invitations, password resets, API keys.

ALTER TABLE app_user ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE app_user ADD COLUMN deactivated_at TIMESTAMPTZ;
-- Which documents; NULL: all of them.
ALTER TABLE member ADD COLUMN audience JSONB;
-- Verifies tokens until then, signs none.
ALTER TABLE signing_key ADD COLUMN retired_at TIMESTAMPTZ;

-- Grows with every change of who may do what. Hosts watch it to know when what they remember is out of date.
CREATE TABLE identity_epoch (
    name TEXT NOT NULL PRIMARY KEY CHECK (name = 'identity'),
    epoch BIGINT NOT NULL
);
INSERT INTO identity_epoch (name, epoch) VALUES ('identity', 0);

-- One log-in.
CREATE TABLE session (
    id UUID NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    created_at TIMESTAMPTZ NOT NULL,
    last_used_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    from_ip TEXT,
    client TEXT,
    ended_at TIMESTAMPTZ,
    ended_why TEXT
);
CREATE INDEX session_of_user ON session (user_id, id);

-- Each is used once; its successor names it as parent.
CREATE TABLE refresh_token (
    hash BYTEA NOT NULL PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES session (id),
    parent BYTEA UNIQUE,
    issued_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);
CREATE INDEX refresh_token_session ON refresh_token (session_id);

CREATE TABLE invitation (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    id UUID NOT NULL,
    token_hash BYTEA NOT NULL UNIQUE,
    email TEXT COLLATE "C" NOT NULL,
    role TEXT NOT NULL,
    audience JSONB,
    invited_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    accepted_at TIMESTAMPTZ,
    PRIMARY KEY (workspace_id, id)
);

CREATE TABLE password_reset (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES app_user (id),
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    used_at TIMESTAMPTZ
);

CREATE TABLE api_key (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL UNIQUE,
    last4 TEXT NOT NULL,
    scopes JSONB NOT NULL,
    audience JSONB NOT NULL,
    created_by TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    replaces UUID,
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    PRIMARY KEY (workspace_id, id)
);

-- Ready to plot: one row for each key and day (UTC, 2026-11-23).
CREATE TABLE key_usage (
    workspace_id UUID NOT NULL,
    key_id UUID NOT NULL,
    day TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    tokens BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, key_id, day),
    FOREIGN KEY (workspace_id, key_id) REFERENCES api_key (workspace_id, id)
);
