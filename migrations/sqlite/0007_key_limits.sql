-- How much an API key may ask for.
ALTER TABLE api_key ADD COLUMN limits TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(limits));
