"""Evaluation tasks: one file each, `score(run, features, evaluation, main_metric)` from stored features to metrics.

A task's OBEYS names the evaluation settings that decide its result.
"""
