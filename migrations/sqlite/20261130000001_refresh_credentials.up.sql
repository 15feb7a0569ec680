-- Tokens are refreshed by one executor at a time: whoever holds the lease of a credential's row.

-- Who refreshes it, in the words of an executor; none while nobody does.
ALTER TABLE credentials ADD COLUMN refresh_by TEXT CHECK (length(refresh_by) <= 64);
-- Nobody else begins before: the end of the lease, or of a pause after it failed.
ALTER TABLE credentials ADD COLUMN refresh_until_ms INTEGER;
-- Refreshes of this version that were begun.
ALTER TABLE credentials ADD COLUMN refresh_tries INTEGER NOT NULL DEFAULT 0 CHECK (refresh_tries >= 0);
-- Those of them whose answer is not known: the provider may have made a token that nobody has.
ALTER TABLE credentials ADD COLUMN refresh_lost INTEGER NOT NULL DEFAULT 0 CHECK (refresh_lost >= 0);
