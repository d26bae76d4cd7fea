"""Image-text retrieval recall on one dataset from a run's features.

Example: kbench retrieval --run results/demo/runs/RUN --dataset flickr8k_1k --evaluation results/demo/evaluation.json
"""

import argparse

from kbench.commands.single_task import add_arguments, run_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add run, dataset and evaluation."""
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write evaluation/DATASET/retrieval.json in the run's folder."""
    run_task(arguments, "retrieval")
