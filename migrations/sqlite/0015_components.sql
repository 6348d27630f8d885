-- Connectors that an administrator installed while the server runs. Those that ship with it have their components in the binary.

CREATE TABLE component (
    digest TEXT NOT NULL PRIMARY KEY REFERENCES connector (digest),
    bytes BLOB NOT NULL
) STRICT;

-- Of those that were installed; shipped ones have neither.
ALTER TABLE connector ADD COLUMN installed_by TEXT;
ALTER TABLE connector ADD COLUMN signed_by TEXT;
-- A list; NULL is whatever the descriptor asks for, as for those that ship with the server.
ALTER TABLE connector ADD COLUMN granted_hosts TEXT CHECK (json_valid(granted_hosts));
-- Runs in a row that the sandbox had to end, over all sources.
ALTER TABLE connector ADD COLUMN trapped_runs INTEGER NOT NULL DEFAULT 0;
ALTER TABLE connector ADD COLUMN quarantined_at TEXT;
ALTER TABLE connector ADD COLUMN quarantine_reason TEXT;
-- Its component is gone; the row stays for what cites it.
ALTER TABLE connector ADD COLUMN removed_at TEXT;
