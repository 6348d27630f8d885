-- What the extractor made of a file stands in a version's chunks. Here is of which file, so that the same one is not read twice.

CREATE TABLE document_extraction (
    workspace_id UUID NOT NULL,
    -- Over the extractor, its settings, the file's bytes, media type and name.
    extraction_key BYTEA NOT NULL,
    document_id UUID NOT NULL,
    version BIGINT NOT NULL,
    -- As the file gives them itself.
    title TEXT,
    language TEXT,
    PRIMARY KEY (workspace_id, extraction_key),
    FOREIGN KEY (workspace_id, document_id, version) REFERENCES document_version (workspace_id, document_id, version)
        ON DELETE CASCADE
);
CREATE INDEX document_extraction_version ON document_extraction (workspace_id, document_id, version);

ALTER TABLE document_extraction ENABLE ROW LEVEL SECURITY;
ALTER TABLE document_extraction FORCE ROW LEVEL SECURITY;
CREATE POLICY one_workspace ON document_extraction USING (
    workspace_id = NULLIF(current_setting('tributary.workspace', true), '')::uuid
    OR current_setting('tributary.system', true) = 'on'
);
