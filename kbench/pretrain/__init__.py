"""Pretraining of one run: the loop, its checkpoints and its schedule."""
