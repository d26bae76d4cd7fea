"""The gap between a run's logits and the pointwise mutual information, from its features.

Example: kbench pmi-gap --run results/demo/runs/RUN --dataset world-pairs --evaluation results/demo/evaluation.json
"""

import argparse

from kbench.commands.single_task import add_arguments, run_task


def configure(parser: argparse.ArgumentParser) -> None:
    """Add run, dataset and evaluation."""
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Write evaluation/DATASET/pmi_gap.json in the run's folder."""
    run_task(arguments, "pmi_gap")
