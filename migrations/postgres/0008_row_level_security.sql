-- The second net between workspaces: whatever a statement asks for, it reaches the rows of the transaction's workspace alone.
--
-- Every transaction sets tributary.workspace to an id, or tributary.system to 'on'. With neither nothing is reached. FORCE, since the
-- server's role owns the tables. After a transaction that set it, a setting is '' and not NULL. A later migration that makes a table of a
-- workspace does the same for it; one that changes rows begins with SET LOCAL tributary.system = 'on'.

DO $$
DECLARE
    tenant RECORD;
BEGIN
    FOR tenant IN
        SELECT table_name, 'workspace_id' AS key FROM information_schema.columns
        WHERE table_schema = current_schema() AND column_name = 'workspace_id'
        UNION ALL
        SELECT 'workspace', 'id'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant.table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant.table_name);
        EXECUTE format(
            'CREATE POLICY one_workspace ON %I USING (
                 %I = NULLIF(current_setting(''tributary.workspace'', true), '''')::uuid
                 OR current_setting(''tributary.system'', true) = ''on''
             )',
            tenant.table_name, tenant.key
        );
    END LOOP;
END $$;
