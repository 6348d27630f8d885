-- A dismissal is remembered document by document: held_deletion keeps what it was about until a sync finds that again.

ALTER TABLE deletion_hold DROP COLUMN dismissed_set;
-- It was dismissed, and its documents stay although no sync finds them.
ALTER TABLE deletion_hold ADD COLUMN keeps BOOLEAN NOT NULL DEFAULT FALSE;
CREATE INDEX deletion_hold_keeps ON deletion_hold (workspace_id, source_id) WHERE keeps;
