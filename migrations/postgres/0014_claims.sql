-- Claims in one statement; dismissed deletions that are not held again.

-- How many jobs of a workspace run. As a volatile function, since such a one sees what was committed until it is called, where the
-- statement that calls it sees what was committed when it began: a claim asks once nobody else can claim in the workspace.
CREATE FUNCTION running_jobs(of_workspace UUID) RETURNS BIGINT LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN (
        SELECT COUNT(*) FROM job
        WHERE state = 'leased' AND workspace_id = of_workspace AND lease_until > clock_timestamp()
    );
END $$;

-- Of a dismissed hold: which documents it was about, as one hash of their ids in order.
ALTER TABLE deletion_hold ADD COLUMN dismissed_set TEXT COLLATE "C";
