"""Score one task of one run on one dataset, from the run's features.

Every task is a command of its own: `kbench TASK`, with the names of `kbench tasks`.

Example: kbench zeroshot --run results/demo/runs/RUN --dataset cifar10 --evaluation
results/demo/evaluation.json
"""

import argparse
from pathlib import Path

from kbench.commands.options import add_device, device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add run, dataset and evaluation."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a run with features")
    parser.add_argument("--dataset", required=True, help="a name of `kbench datasets`")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="frozen evaluation.json of the experiment"
    )
    add_device(parser, default="cpu")


def run(arguments: argparse.Namespace, task: str) -> None:
    """Write evaluation/DATASET/TASK.json in the run's folder and print it."""
    from kbench.datasets import dataset as known_datasets
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.evaluate.scoring import evaluate, summary

    experiment, evaluation = read_evaluation(arguments.evaluation)
    wanted = known_datasets.get(arguments.dataset)
    dataset = next((d for d in datasets(evaluation) if d.name == wanted.name), wanted)
    print(
        summary(
            evaluate(
                TrainedRun(arguments.run), dataset, task, experiment, evaluation, device(arguments)
            )
        )
    )
