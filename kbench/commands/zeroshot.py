"""Zero-shot classification of one dataset from a run's features, through the run's own similarity.

Example: kbench zeroshot --run results/demo/runs/RUN --dataset cifar10 --evaluation results/demo/evaluation.json
"""

import argparse

from kbench.commands.single_task import add_arguments, run_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add run, dataset and evaluation."""
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write evaluation/DATASET/zeroshot.json in the run's folder."""
    run_task(arguments, "zeroshot")
