-- The record of one instance. The PostgreSQL twin has the same tables, columns, nullability and keys.
-- Ids are 16-byte BLOBs, times RFC 3339 text in UTC, JSON checked text, flags 0 or 1.
-- Every tenant table begins with workspace_id, in its keys and its references too.

CREATE TABLE app_user (
    id BLOB NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    instance_admin INTEGER NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- Signs access tokens; at most one is in use.
CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    pkcs8 BLOB NOT NULL,
    created_at TEXT NOT NULL,
    in_use INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX signing_key_in_use ON signing_key (in_use) WHERE in_use;

CREATE TABLE workspace (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    slug TEXT NOT NULL UNIQUE,
    change_seq INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE member (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    user_id BLOB NOT NULL REFERENCES app_user (id),
    role TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, user_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_user ON member (user_id);

-- Installed components; the newest of an id is the current one.
CREATE TABLE connector (
    digest TEXT NOT NULL PRIMARY KEY,
    connector_id TEXT NOT NULL,
    version TEXT NOT NULL,
    descriptor TEXT NOT NULL CHECK (json_valid(descriptor)),
    size_bytes INTEGER NOT NULL,
    installed_at TEXT NOT NULL
) STRICT;
CREATE INDEX connector_current ON connector (connector_id, installed_at);

CREATE TABLE source (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    connector_version TEXT NOT NULL,
    connector_digest TEXT NOT NULL,
    config TEXT NOT NULL CHECK (json_valid(config)),
    config_revision INTEGER NOT NULL,
    cron TEXT,
    timezone TEXT,
    next_run_at TEXT,
    last_run_id BLOB,
    health TEXT NOT NULL,
    created_at TEXT NOT NULL,
    deleted_at TEXT,
    PRIMARY KEY (workspace_id, id)
) STRICT;
CREATE UNIQUE INDEX source_name ON source (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX source_connector ON source (connector_id, connector_digest);
CREATE INDEX source_due ON source (next_run_at) WHERE next_run_at IS NOT NULL AND deleted_at IS NULL;

-- A moment of a schedule that was fired; unique, so that many hosts fire it once.
CREATE TABLE schedule_slot (
    workspace_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    slot TEXT NOT NULL,
    fired_at TEXT NOT NULL,
    run_id BLOB,
    PRIMARY KEY (workspace_id, source_id, slot),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id BLOB NOT NULL PRIMARY KEY,
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    kind TEXT NOT NULL,
    work TEXT NOT NULL CHECK (json_valid(work)),
    state TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dead', 'cancelled')),
    priority INTEGER NOT NULL,
    run_at TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    lease_until TEXT,
    worker TEXT,
    cancel_requested INTEGER NOT NULL,
    last_error TEXT,
    created_at TEXT NOT NULL,
    finished_at TEXT
) STRICT;
CREATE INDEX job_open ON job (kind, workspace_id, priority, run_at, id) WHERE state IN ('queued', 'leased');
CREATE INDEX job_over ON job (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE run (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    job_id BLOB,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    triggered_by TEXT NOT NULL,
    connector_id TEXT NOT NULL,
    connector_version TEXT NOT NULL,
    connector_digest TEXT NOT NULL,
    config_revision INTEGER NOT NULL,
    accept_deletions INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    queued_at TEXT NOT NULL,
    started_at TEXT,
    finished_at TEXT,
    seen INTEGER NOT NULL,
    added INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    progress TEXT CHECK (json_valid(progress)),
    error_code TEXT,
    error_detail TEXT,
    error_pointer TEXT,
    page_no INTEGER NOT NULL,
    page_cursor TEXT,
    change_seq INTEGER,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT;
CREATE INDEX run_source ON run (workspace_id, source_id, id);
-- One sync of a source at a time; pushes are not held up by it.
CREATE UNIQUE INDEX run_active ON run (workspace_id, source_id)
    WHERE status IN ('queued', 'running', 'waiting') AND kind IN ('sync', 'full');

CREATE TABLE run_failed_item (
    workspace_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    item_no INTEGER NOT NULL,
    external_id TEXT NOT NULL,
    fault TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (workspace_id, run_id, item_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
) STRICT;

-- What an active run saw, one row per page: 16-byte digests, one after the other.
CREATE TABLE run_seen (
    workspace_id BLOB NOT NULL,
    run_id BLOB NOT NULL,
    page_no INTEGER NOT NULL,
    documents BLOB NOT NULL,
    containers BLOB NOT NULL,
    kept BLOB NOT NULL,
    PRIMARY KEY (workspace_id, run_id, page_no),
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
) STRICT;

-- A connector's small memory.
CREATE TABLE connector_state (
    workspace_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    entry_key TEXT NOT NULL,
    entry_value TEXT NOT NULL,
    PRIMARY KEY (workspace_id, source_id, entry_key),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE container (
    workspace_id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    external_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    basis TEXT NOT NULL,
    PRIMARY KEY (workspace_id, source_id, external_id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE document (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    source_id BLOB NOT NULL,
    external_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content_hash BLOB NOT NULL,
    fingerprint TEXT,
    basis TEXT NOT NULL,
    container TEXT,
    gone TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    change_seq INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, id),
    UNIQUE (workspace_id, source_id, external_id),
    FOREIGN KEY (workspace_id, source_id) REFERENCES source (workspace_id, id)
) STRICT;
CREATE UNIQUE INDEX document_change ON document (workspace_id, change_seq, id);

-- Deferred: versions and chunks are written first, so that the workspace's row is locked for the document rows alone.
CREATE TABLE document_version (
    workspace_id BLOB NOT NULL,
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL,
    language TEXT,
    url TEXT,
    fields TEXT NOT NULL CHECK (json_valid(fields)),
    provenance TEXT NOT NULL CHECK (json_valid(provenance)),
    content_hash BLOB NOT NULL,
    text_bytes INTEGER NOT NULL,
    run_id BLOB NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, document_id, version),
    FOREIGN KEY (workspace_id, document_id) REFERENCES document (workspace_id, id) DEFERRABLE INITIALLY DEFERRED,
    FOREIGN KEY (workspace_id, run_id) REFERENCES run (workspace_id, id)
) STRICT;

CREATE TABLE chunk (
    workspace_id BLOB NOT NULL,
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    chunk_no INTEGER NOT NULL,
    section TEXT NOT NULL CHECK (json_valid(section)),
    locator TEXT CHECK (json_valid(locator)),
    start_char INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (workspace_id, document_id, version, chunk_no),
    FOREIGN KEY (workspace_id, document_id, version) REFERENCES document_version (workspace_id, document_id, version)
) STRICT;

CREATE TABLE thread (
    workspace_id BLOB NOT NULL REFERENCES workspace (id),
    id BLOB NOT NULL,
    owner TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id)
) STRICT;
CREATE INDEX thread_owner ON thread (workspace_id, owner, id);

CREATE TABLE message (
    workspace_id BLOB NOT NULL,
    id BLOB NOT NULL,
    thread_id BLOB NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    citations TEXT NOT NULL CHECK (json_valid(citations)),
    mode TEXT,
    usage TEXT CHECK (json_valid(usage)),
    stop_reason TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id, id),
    FOREIGN KEY (workspace_id, thread_id) REFERENCES thread (workspace_id, id)
) STRICT;
CREATE INDEX message_thread ON message (workspace_id, thread_id, id);
