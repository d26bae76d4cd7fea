"""The checkout under test, and an experiment that takes seconds."""

from pathlib import Path

ROOT = Path(__file__).parents[1]

EXPERIMENT = """\
name: tiny
description: Two similarities for a few steps, for the tests.
corpus: {kind: world, seed: 3, pairs: 512, evaluation_images: 64}
towers: demo
variants: [cosine, {similarity: wpse-gaussian, set: {features: 32}}]
seeds: [0]
training: {batch_size: 32, epochs: 1, warmup_epochs: 0.25, learning_rate: 2.0e-3, weight_decay: 0.1}
evaluation:
  datasets: [world-shape, world-digits, world-retrieval, world-pairs]
  random_features: {number: 64, draws: 2}
  linear_probe: {strides: [48], random_features: 32}
"""
