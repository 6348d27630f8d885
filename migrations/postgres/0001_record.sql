-- The record of one instance. The SQLite twin has the same tables, columns, nullability and keys.
-- Every tenant table begins with workspace_id, in its keys and its references too.

CREATE TABLE app_user (
    id UUID NOT NULL PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    instance_admin BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- Signs access tokens; at most one is in use.
CREATE TABLE signing_key (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    pkcs8 BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    in_use BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX signing_key_in_use ON signing_key (in_use) WHERE in_use;

CREATE TABLE workspace (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT COLLATE "C" NOT NULL UNIQUE,
    change_seq BIGINT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE member (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    user_id UUID NOT NULL REFERENCES app_user (id),
    role TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX member_user ON member (user_id);

-- Installed components; the newest of an id is the current one.
CREATE TABLE connector (
    digest TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    connector_id TEXT COLLATE "C" NOT NULL,
    version TEXT NOT NULL,
    descriptor JSONB NOT NULL,
    size_bytes BIGINT NOT NULL,
    installed_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX connector_current ON connector (connector_id, installed_at);

CREATE TABLE source (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    connector_id TEXT COLLATE "C" NOT NULL,
    connector_version TEXT NOT NULL,
    connector_digest TEXT NOT NULL,
    config JSONB NOT NULL,
    config_revision BIGINT NOT NULL,
    cron TEXT,
    timezone TEXT,
    next_run_at TIMESTAMPTZ,
    last_run_id UUID,
    health TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    deleted_at TIMESTAMPTZ,
    PRIMARY KEY (workspace_id, id)
);
CREATE UNIQUE INDEX source_name ON source (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX source_connector ON source (connector_id, connector_digest);
CREATE INDEX source_due ON source (next_run_at) WHERE next_run_at IS NOT NULL AND deleted_at IS NULL;

-- A moment of a schedule that was fired; unique, so that many hosts fire it once.
CREATE TABLE schedule_slot (
    workspace_id UUID NOT NULL,
    source_id UUID NOT NULL,
    slot TIMESTAMPTZ NOT NULL,
    fired_at TIMESTAMPTZ NOT NULL,
    run_id UUID,
    PRIMARY KEY (workspace_id, source_id, slot),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);

CREATE TABLE job (
    id UUID NOT NULL PRIMARY KEY,
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    kind TEXT COLLATE "C" NOT NULL,
    work JSONB NOT NULL,
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dead', 'cancelled')),
    priority BIGINT NOT NULL,
    run_at TIMESTAMPTZ NOT NULL,
    attempt BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    lease_until TIMESTAMPTZ,
    worker TEXT,
    cancel_requested BOOLEAN NOT NULL,
    last_error TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ
);
CREATE INDEX job_open ON job (kind, workspace_id, priority, run_at, id) WHERE state IN ('queued', 'leased');
CREATE INDEX job_over ON job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE run (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    source_id UUID NOT NULL,
    job_id UUID,
    kind TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    triggered_by TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    connector_version TEXT NOT NULL,
    connector_digest TEXT NOT NULL,
    config_revision BIGINT NOT NULL,
    accept_deletions BOOLEAN NOT NULL,
    cancel_requested BOOLEAN NOT NULL,
    queued_at TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    seen BIGINT NOT NULL,
    added BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    progress JSONB,
    error_code TEXT,
    error_detail TEXT,
    error_pointer TEXT,
    page_no BIGINT NOT NULL,
    page_cursor TEXT,
    change_seq BIGINT,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);
CREATE INDEX run_source ON run (workspace_id, source_id, id);
-- One sync of a source at a time; pushes are not held up by it.
CREATE UNIQUE INDEX run_active ON run (workspace_id, source_id)
    WHERE status IN ('queued', 'running', 'waiting') AND kind IN ('sync', 'full');

CREATE TABLE run_failed_item (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    item_no BIGINT NOT NULL,
    external_id TEXT NOT NULL,
    fault TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (workspace_id, run_id, item_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
);

-- What an active run saw, one row per page: 16-byte digests, one after the other.
CREATE TABLE run_seen (
    workspace_id UUID NOT NULL,
    run_id UUID NOT NULL,
    page_no BIGINT NOT NULL,
    documents BYTEA NOT NULL,
    containers BYTEA NOT NULL,
    kept BYTEA NOT NULL,
    PRIMARY KEY (workspace_id, run_id, page_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
);

-- A connector's small memory.
CREATE TABLE connector_state (
    workspace_id UUID NOT NULL,
    source_id UUID NOT NULL,
    entry_key TEXT COLLATE "C" NOT NULL,
    entry_value TEXT NOT NULL,
    PRIMARY KEY (workspace_id, source_id, entry_key),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);

CREATE TABLE container (
    workspace_id UUID NOT NULL,
    source_id UUID NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT NOT NULL,
    basis TEXT NOT NULL,
    PRIMARY KEY (workspace_id, source_id, external_id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);

CREATE TABLE document (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    source_id UUID NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    content_hash BYTEA NOT NULL,
    fingerprint TEXT,
    basis TEXT NOT NULL,
    container TEXT,
    gone TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    change_seq BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, source_id, external_id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
);
CREATE UNIQUE INDEX document_change ON document (workspace_id, change_seq, id);

-- Deferred: versions and chunks are written first, so that the workspace's row is locked for the document rows alone.
CREATE TABLE document_version (
    workspace_id UUID NOT NULL,
    document_id UUID NOT NULL,
    version BIGINT NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    language TEXT,
    url TEXT,
    fields JSONB NOT NULL,
    provenance JSONB NOT NULL,
    content_hash BYTEA NOT NULL,
    text_bytes BIGINT NOT NULL,
    run_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (workspace_id, document_id, version),
    FOREIGN KEY (workspace_id, document_id) REFERENCES document (workspace_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
);

CREATE TABLE chunk (
    workspace_id UUID NOT NULL,
    document_id UUID NOT NULL,
    version BIGINT NOT NULL,
    chunk_no BIGINT NOT NULL,
    section JSONB NOT NULL,
    locator JSONB,
    start_char BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace_id, document_id, version, chunk_no),
    FOREIGN KEY (workspace_id, document_id, version) REFERENCES document_version (workspace_id, document_id, version)
);

CREATE TABLE thread (
    workspace_id UUID NOT NULL REFERENCES workspace (id),
    id UUID NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (workspace_id, id)
);
CREATE INDEX thread_owner ON thread (workspace_id, owner, id);

CREATE TABLE message (
    workspace_id UUID NOT NULL,
    id UUID NOT NULL,
    thread_id UUID NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    citations JSONB NOT NULL,
    mode TEXT,
    usage JSONB,
    stop_reason TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, thread_id) REFERENCES thread (workspace_id, id)
);
CREATE INDEX message_thread ON message (workspace_id, thread_id, id);
