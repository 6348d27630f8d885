-- A connector is in quarantine by what several workspaces saw, or the only one that uses it: the count remembers whose runs it counted.

-- The first workspace whose run the sandbox ended, of those that trapped_runs counts. No reference: it may be gone by then.
ALTER TABLE connector ADD COLUMN trapped_workspace BLOB;
ALTER TABLE connector ADD COLUMN trapped_several INTEGER NOT NULL DEFAULT 0 CHECK (trapped_several IN (0, 1));
