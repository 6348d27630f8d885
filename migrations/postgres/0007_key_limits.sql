-- How much an API key may ask for.
ALTER TABLE api_key ADD COLUMN limits JSONB NOT NULL DEFAULT '{}';
