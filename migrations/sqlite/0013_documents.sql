-- Deletions that can be undone until they are purged, versions that are kept for a while, and the ways documents are looked up.

-- Of a document that is gone: when, and by which run or whom.
ALTER TABLE document ADD COLUMN gone_at TEXT;
ALTER TABLE document ADD COLUMN gone_by TEXT;
ALTER TABLE document ADD COLUMN gone_run_id BLOB;
-- Versions of it that are still there.
ALTER TABLE document ADD COLUMN kept_versions INTEGER NOT NULL DEFAULT 1;
-- What the run that brought a version did: the document was not there before, or it was.
ALTER TABLE document_version ADD COLUMN outcome TEXT NOT NULL DEFAULT 'updated' CHECK (outcome IN ('added', 'updated'));

UPDATE document SET kept_versions = version;
UPDATE document SET gone_at = updated_at WHERE gone IS NOT NULL;
UPDATE document_version SET outcome = 'added' WHERE version = 1;

CREATE INDEX document_source ON document (workspace_id, source_id, id);
CREATE INDEX document_kind ON document (workspace_id, kind, id);
CREATE INDEX document_updated ON document (workspace_id, updated_at);
CREATE INDEX document_gone ON document (workspace_id, id) WHERE gone IS NOT NULL;
-- A deleted source takes its documents with it, when its time has come.
CREATE INDEX document_purge ON document (workspace_id, gone_at) WHERE gone_at IS NOT NULL AND gone <> 'source_deleted';
CREATE INDEX document_gone_run ON document (workspace_id, gone_run_id, id) WHERE gone_run_id IS NOT NULL;
CREATE INDEX document_kept ON document (workspace_id, kept_versions) WHERE kept_versions > 1;
CREATE INDEX document_version_run ON document_version (workspace_id, run_id, document_id);

-- The newest commit of a document that was purged: an index that has not come as far may hold it, and is made anew.
ALTER TABLE workspace ADD COLUMN purged_seq INTEGER NOT NULL DEFAULT 0;

ALTER TABLE source ADD COLUMN deleted_by TEXT;
-- Since when a deleted source is being removed, and when nothing but its name and its runs was left.
ALTER TABLE source ADD COLUMN purging_at TEXT;
ALTER TABLE source ADD COLUMN purged_at TEXT;
CREATE INDEX source_purge ON source (workspace_id, deleted_at) WHERE deleted_at IS NOT NULL AND purged_at IS NULL;
