-- Syncs that somebody asked to be recorded. The recording itself is a file in the data directory of each host that worked on the run.

-- NULL: nobody asked. Otherwise asked, recording, complete, incomplete or too_long.
ALTER TABLE run ADD COLUMN recording TEXT CHECK (recording IN ('asked', 'recording', 'complete', 'incomplete', 'too_long'));
-- The names of those hosts, as a list.
ALTER TABLE run ADD COLUMN recorded_on TEXT CHECK (recorded_on IS NULL OR json_valid(recorded_on));
ALTER TABLE run ADD COLUMN recorded_pages INTEGER NOT NULL DEFAULT 0;
-- Before compression.
ALTER TABLE run ADD COLUMN recorded_bytes INTEGER NOT NULL DEFAULT 0;
