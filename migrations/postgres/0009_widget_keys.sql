-- What makes a key one for widgets: origins, visitors' limits, identity.
ALTER TABLE api_key ADD COLUMN widget JSONB;
-- What a site signs its visitors' identities with, sealed by the workspace's data key.
ALTER TABLE api_key ADD COLUMN sealed_identity_secret BYTEA;
