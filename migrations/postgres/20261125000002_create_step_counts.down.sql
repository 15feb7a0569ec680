DROP TABLE step_guards;
DROP TABLE step_counts;
