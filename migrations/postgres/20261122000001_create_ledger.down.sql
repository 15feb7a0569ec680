DROP TABLE keepsakes, pages, calls, fetches, specs, jobs;
