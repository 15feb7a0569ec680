DROP TRIGGER jobs_finish_notice ON jobs;
DROP FUNCTION make_notice;
DROP TABLE notices;
ALTER TABLE jobs DROP COLUMN notify;
