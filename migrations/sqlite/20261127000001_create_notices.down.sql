DROP TRIGGER jobs_finish_notice;
DROP TABLE notices;
ALTER TABLE jobs DROP COLUMN notify;
