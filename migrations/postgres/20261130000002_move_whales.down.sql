UPDATE jobs SET lane = lane_asked WHERE lane_asked IS NOT NULL;
ALTER TABLE jobs DROP COLUMN lane_asked;
