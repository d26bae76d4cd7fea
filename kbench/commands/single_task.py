"""What the commands that score one task on one dataset share."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add run, dataset and evaluation."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a run with features")
    parser.add_argument("--dataset", required=True, help="a name of `kbench datasets`")
    parser.add_argument("--evaluation", type=Path, required=True, help="frozen evaluation.json of the experiment")


def run_task(arguments: argparse.Namespace, task: str) -> None:
    """Score the task, write its result and print it."""
    from kbench.benchmark import dataset as benchmark
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.evaluate.tasks.registry import evaluate, summary

    experiment, evaluation = read_evaluation(arguments.evaluation)
    wanted = benchmark.get(arguments.dataset)
    dataset = next((d for d in datasets(evaluation) if d.name == wanted.name), wanted)
    print(summary(evaluate(TrainedRun(arguments.run), dataset, task, experiment, evaluation)))
