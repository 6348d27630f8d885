-- What the extractor made of a file stands in a version's chunks. Here is of which file, so that the same one is not read twice.

CREATE TABLE document_extraction (
    workspace_id BLOB NOT NULL,
    -- Over the extractor, its settings, the file's bytes, media type and name.
    extraction_key BLOB NOT NULL,
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    -- As the file gives them itself.
    title TEXT,
    language TEXT,
    PRIMARY KEY (workspace_id, extraction_key),
    FOREIGN KEY (workspace_id, document_id, version) REFERENCES document_version (workspace_id, document_id, version)
        ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX document_extraction_version ON document_extraction (workspace_id, document_id, version);
