DROP TABLE keepsakes;
DROP TABLE pages;
DROP TABLE calls;
DROP TABLE fetches;
DROP TABLE jobs;
