-- The lane that a job asked for, where it was moved to another because so many of its calls are open.
ALTER TABLE jobs ADD COLUMN lane_asked TEXT CHECK (lane_asked IN ('interactive', 'normal', 'bulk', 'trickle'));
