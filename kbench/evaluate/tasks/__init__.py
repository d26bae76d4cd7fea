"""Evaluation tasks: one file each, `score(run, features, evaluation)` from stored features to metrics."""
