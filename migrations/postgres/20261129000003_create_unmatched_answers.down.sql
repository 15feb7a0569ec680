DROP TABLE unmatched_answers;
