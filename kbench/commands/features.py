"""Encode every image, prompt and caption of a run's evaluation sets once; features that are there
already are kept.

Example:
  kbench features --run results/demo/runs/RUN --evaluation results/demo/evaluation.json \\
    --world results/demo/world
"""

import argparse
from pathlib import Path

from kbench import files, locations
from kbench.commands.options import add_device, device


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run, the evaluation and the folders of the data."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="frozen evaluation.json of the experiment"
    )
    add_device(parser)
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Extract what is missing, then write encoded.json, which names every feature folder."""
    from kbench.evaluate import weights
    from kbench.evaluate.features import Encoder
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.records.documents import Encoded

    _, evaluation = read_evaluation(arguments.evaluation)
    where = locations.from_arguments(arguments)
    chosen = datasets(evaluation)
    roots = [dataset.root(where) for dataset in chosen]
    trained, chosen_device = TrainedRun(arguments.run), device(arguments)
    for point in reversed(trained.along):
        encoder = Encoder(point, evaluation, chosen_device)
        for dataset, root in zip(chosen, roots, strict=True):
            written = encoder.extract(dataset, where)
            step = "" if point is trained else f" after {point.card.steps} steps"
            print(f"{dataset.name}{step}: {'encoded' if written else 'kept'} ({root})")
    captioned = next(
        ((d, root) for d, root in zip(chosen, roots, strict=True) if d.kind != "classification"),
        None,
    )
    if captioned and weights.write(
        arguments.run, encoder.model, encoder.run.config.towers, *captioned
    ):
        print(
            f"{weights.FILE}: weights of patches and tokens of some images of {captioned[0].name}"
        )
    record = Encoded(
        checkpoint_sha256=encoder.run.card.checkpoint_sha256, datasets=[d.name for d in chosen]
    )
    files.write_json(arguments.run / "encoded.json", record.model_dump(mode="json"))
