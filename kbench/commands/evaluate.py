"""Score every task on every evaluation set of one run from its features; results that are still
right are kept.

Example: kbench evaluate --run results/demo/runs/RUN --evaluation results/demo/evaluation.json
"""

import argparse
import itertools
from pathlib import Path

from kbench import files, tasks
from kbench.commands.options import add_device, device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run and the evaluation."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a run with features")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="frozen evaluation.json of the experiment"
    )
    add_device(parser, default="cpu")


def run(arguments: argparse.Namespace) -> None:
    """Write evaluation/DATASET/TASK.json for each task, then evaluated.json, which names them."""
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.evaluate.scoring import evaluate, kept, summary
    from kbench.evaluate.store import Reader
    from kbench.records.documents import Evaluated

    experiment, evaluation = read_evaluation(arguments.evaluation)
    trained, chosen = TrainedRun(arguments.run), datasets(evaluation)
    # Features that do not fit are refused before anything is scored: results of old and new ones
    # are never mixed.
    scored = [
        (point, dataset, task)
        for point, dataset in itertools.product(trained.along, chosen)
        for task in tasks.of(dataset, evaluation.tasks)
    ]
    for point, dataset, _ in scored:
        Reader(point.features(dataset.name))
    chosen_device, done = device(arguments), []
    for point, dataset, task in scored:
        what = (point, dataset, task, experiment, evaluation)
        result = kept(*what)
        said = f"{summary(result)}  (kept)" if result else summary(evaluate(*what, chosen_device))
        if point is trained:
            done.append(f"{dataset.name}/{task}")
        else:
            said = f"after {point.card.steps} steps: {said}"
        print(said, flush=True)
    record = Evaluated(checkpoint_sha256=trained.card.checkpoint_sha256, results=done)
    files.write_json(arguments.run / "evaluated.json", record.model_dump(mode="json"))
