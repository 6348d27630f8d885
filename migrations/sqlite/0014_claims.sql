-- Claims in one statement; dismissed deletions that are not held again.

-- Of a dismissed hold: which documents it was about, as one hash of their ids in order.
ALTER TABLE deletion_hold ADD COLUMN dismissed_set TEXT;
