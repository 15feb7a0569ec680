-- Tokens are refreshed by one executor at a time: whoever holds the lease of a credential's row.

-- Who refreshes it, in the words of an executor; none while nobody does.
ALTER TABLE credentials ADD COLUMN refresh_by TEXT CHECK (char_length(refresh_by) <= 64);
-- Nobody else begins before: the end of the lease, or of a pause after it failed.
ALTER TABLE credentials ADD COLUMN refresh_until_ms BIGINT;
-- Refreshes of this version that were begun.
ALTER TABLE credentials ADD COLUMN refresh_tries BIGINT NOT NULL DEFAULT 0 CHECK (refresh_tries >= 0);
-- Those of them whose answer is not known: the provider may have made a token that nobody has.
ALTER TABLE credentials ADD COLUMN refresh_lost BIGINT NOT NULL DEFAULT 0 CHECK (refresh_lost >= 0);
