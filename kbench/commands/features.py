"""Encode every image, prompt and caption of a run's evaluation sets once; features that are there
already are kept.

A dataset of more images than images_per_job of the evaluation can be encoded in parts, by several
jobs at once, on whatever machines share the folder; without --part, what they have left is put
together, and what is missing is encoded here.

Examples:
  kbench features --run results/demo/runs/RUN --evaluation results/demo/evaluation.json \\
    --world results/demo/world
  kbench features --run results/released/runs/RUN --evaluation results/released/evaluation.json \\
    --data data --dataset imagenet1k --part 2-of-6
"""

import argparse
from pathlib import Path

from kbench import files, locations
from kbench.commands.options import add_device, device
from kbench.errors import UserError, unknown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the run, the evaluation and the folders of the data."""
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument(
        "--evaluation", type=Path, required=True, help="frozen evaluation.json of the experiment"
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="encode a part of this dataset, and nothing else"
    )
    parser.add_argument("--part", metavar="I-of-N", help="which part of --dataset")
    add_device(parser)
    locations.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Extract what is missing, then write encoded.json, which names every feature folder."""
    if (arguments.dataset is None) != (arguments.part is None):
        raise UserError("--dataset and --part go together: one part of one dataset")
    if arguments.part is None:
        _whole(arguments)
    else:
        _part(arguments)


def _part(arguments: argparse.Namespace) -> None:
    """Encode one part of one dataset for every point of the run, then write the part's record."""
    from kbench.datasets.part import Part
    from kbench.evaluate.features import Encoder
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.records.documents import EncodedPart

    _, evaluation = read_evaluation(arguments.evaluation)
    chosen = {dataset.name: dataset for dataset in datasets(evaluation)}
    if arguments.dataset not in chosen:
        raise unknown("dataset of this evaluation", arguments.dataset, chosen)
    part, dataset = Part.parse(arguments.part), chosen[arguments.dataset]
    trained, where = TrainedRun(arguments.run), locations.from_arguments(arguments)
    for point in trained.along:
        encoder = Encoder(point, evaluation, device(arguments))
        written = encoder.extract_part(dataset, where, part)
        step = "" if point is trained else f" after {point.card.steps} steps"
        print(f"{dataset.name}, part {part}{step}: {'encoded' if written else 'kept'}")
    record = EncodedPart(
        checkpoint_sha256=trained.card.checkpoint_sha256, dataset=dataset.name, part=str(part)
    )
    path = trained.part(dataset.name, part).with_suffix(".json")
    files.write_json(path, record.model_dump(mode="json"))


def _whole(arguments: argparse.Namespace) -> None:
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
        ((d, root) for d, root in zip(chosen, roots, strict=True) if not d.has_classes),
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
