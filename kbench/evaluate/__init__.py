"""Evaluation of a trained run: features once, then every task from the features."""
