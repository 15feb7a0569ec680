ALTER TABLE credentials DROP COLUMN refresh_by;
ALTER TABLE credentials DROP COLUMN refresh_until_ms;
ALTER TABLE credentials DROP COLUMN refresh_tries;
ALTER TABLE credentials DROP COLUMN refresh_lost;
