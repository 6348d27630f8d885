-- A connector is in quarantine by what several workspaces saw, or the only one that uses it: the count remembers whose runs it counted.

-- The first workspace whose run the sandbox ended, of those that trapped_runs counts. No reference: it may be gone by then.
ALTER TABLE connector ADD COLUMN trapped_workspace UUID;
ALTER TABLE connector ADD COLUMN trapped_several BOOLEAN NOT NULL DEFAULT FALSE;
