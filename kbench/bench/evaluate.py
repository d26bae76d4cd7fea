"""Time of zero-shot and linear probe of one model on CIFAR-10, from the image files to the
accuracies.

kbench: zero-shot and the probe of both embeddings, every image encoded once. The baseline, with the
same towers and batch size: CLIP_benchmark's own zero-shot, then the same probe by scikit-learn on
the features that CLIP_benchmark's loader and featurizer give, after projection only.
CLIP_benchmark's own probe needs CUDA and searches no C.

The model is one of a trained run of the cosine variant, or has random weights. A small --limit is
for trying it out.
"""

import argparse
import contextlib
import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kbench import files, locations, tasks
from kbench.bench.measure import Row, say
from kbench.errors import UserError

if TYPE_CHECKING:
    import torch

    from kbench.datasets.dataset import Dataset
    from kbench.evaluate.run import TrainedRun
    from kbench.experiment.schema import Evaluation
    from kbench.towers.output import TowerOutput

DATASET = "cifar10"
FIGURES = {"zeroshot": "fraction", "linear_probe": "fraction", "C": "inverse strength"}
"""Accuracies, and the strength that the search of the probe after projection chose, with their
units.
"""

WARM_UP = 100
"""Images of the first round, which does not count."""


TASKS = ("zeroshot", "linear_probe")
"""What CLIP_benchmark also measures."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument(
        "--run", type=Path, help="folder of a trained cosine run; default: random weights"
    )
    parser.add_argument(
        "--limit",
        type=int,
        help="images of the train split, and a fifth as many of test; default: all",
    )
    parser.add_argument("--batch-size", type=int, default=256, help="default %(default)s")
    parser.add_argument(
        "--workers",
        type=int,
        default=2,
        help="loader processes of the baseline; default %(default)s",
    )
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    locations.add_arguments(parser)


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    from kbench.datasets import dataset as known_datasets
    from kbench.experiment.schema import Evaluation

    dataset = known_datasets.get(DATASET)
    root = dataset.root(locations.from_arguments(arguments))
    evaluation = Evaluation(datasets=(DATASET,), batch_size=arguments.batch_size)
    with tempfile.TemporaryDirectory() as temporary:
        run = _run(arguments.run, Path(temporary) / "run")
        measured = []
        # A first round on a few images reads libraries and files; it does not count.
        for counts, limit in enumerate((WARM_UP, arguments.limit)):
            data = Path(temporary) / f"data-{counts}"
            sizes = _take(root, data / dataset.folder, limit)
            some = dataset.model_copy(update={"n_train": sizes["train"], "n_test": sizes["test"]})
            measured = [
                _timed(_kbench, run, some, data, evaluation, arguments.device),
                _timed(
                    _clip_benchmark,
                    run,
                    some,
                    data,
                    evaluation,
                    arguments.device,
                    arguments.workers,
                ),
            ]
    (seconds, ours), (baseline_seconds, theirs) = measured
    lines = [Row.of(f"evaluate/{DATASET}", seconds, "seconds", baseline_seconds)]
    lines += [
        Row.of(f"evaluate/{DATASET}/{name}", ours[name], unit, theirs[name])
        for name, unit in FIGURES.items()
    ]
    say(f"{'figure':<34}{'kbench':>10}{'baseline':>10}{'ratio':>8}   {sum(sizes.values())} images")
    for row in lines:
        say(f"{row.name:<34}{row.value:>10.4g}{row.baseline:>10.4g}{row.ratio:>8.3f}")
    return lines


def _timed(
    function: Callable[..., dict[str, float]], *arguments: Any
) -> tuple[float, dict[str, float]]:
    start = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - start, result


def _kbench(
    run: "TrainedRun", dataset: "Dataset", data: Path, evaluation: "Evaluation", device: str
) -> dict[str, float]:
    """Extract features, then score both tasks; returns the figures."""
    import torch

    from kbench.evaluate.features import Encoder
    from kbench.evaluate.store import Reader

    Encoder(run, evaluation, device).extract(dataset, locations.Locations(data=data))
    features = Reader(run.features(dataset.name))
    with torch.inference_mode():
        outcomes = {
            task: tasks.get(task).score(run, features, evaluation, device=device)
            for task in ("zeroshot", "linear_probe")
        }
    accuracies = {task: outcome.average("acc1").value for task, outcome in outcomes.items()}
    return accuracies | {"C": outcomes["linear_probe"].settings["C"]}


def _clip_benchmark(
    run: "TrainedRun",
    dataset: "Dataset",
    data: Path,
    evaluation: "Evaluation",
    device: str,
    workers: int,
) -> dict[str, float]:
    """Do the same with CLIP_benchmark and scikit-learn; returns the figures."""
    import numpy as np
    import torch

    import kbench.towers.compat  # isort: skip  # noqa: F401
    from clip_benchmark.metrics import linear_probe, zeroshot_classification

    from kbench.bench.probe import scikit_learn_probe
    from kbench.measures.labelled_features import Features
    from kbench.towers import tokenizer

    model = _Peer(run, device)
    loaders = {
        split: _loader(run, dataset, data, split, evaluation.batch_size, workers)
        for split in ("train", "test")
    }
    tokenize = tokenizer.create(run.config.towers)
    with contextlib.redirect_stderr(io.StringIO()):
        classifier = zeroshot_classification.zero_shot_classifier(
            model,
            lambda texts: torch.from_numpy(tokenize(texts)),
            loaders["test"].dataset.classes,
            loaders["test"].dataset.templates,
            device,
            amp=False,
        )
        logits, targets = zeroshot_classification.run_classification(
            model, classifier, loaders["test"], device, amp=False
        )
    featurizer = linear_probe.Featurizer(model)
    splits = {}
    with torch.inference_mode():
        for split, loader in loaders.items():
            batches = [
                (featurizer(images.to(device)).cpu().numpy(), labels.numpy())
                for images, labels in loader
            ]
            splits[split] = Features(*map(np.concatenate, zip(*batches, strict=True)))
    settings = evaluation.linear_probe
    scale = run.similarity.logit_scale().item() ** 0.5
    scaled = {name: Features(split.x * scale, split.y) for name, split in splits.items()}
    probe, best = scikit_learn_probe(scaled["train"], scaled["test"], settings)
    return {
        "zeroshot": float((logits.argmax(dim=1) == targets).double().mean()),
        "linear_probe": float(probe.score(scaled["test"].x.astype(np.float64), scaled["test"].y)),
        "C": best.C,
    }


class _Peer:
    """A model as CLIP_benchmark calls it."""

    def __init__(self, run: "TrainedRun", device: str) -> None:
        from kbench.pretrain import model as pretrained

        self.towers = pretrained.load(run.config, run.weights).to(device).towers

    def encode_image(self, images: "torch.Tensor") -> "torch.Tensor":
        """Return embeddings (B, d)."""
        return self._embed(self.towers.encode_image(images))

    def encode_text(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return embeddings (B, d)."""
        return self._embed(self.towers.encode_text(tokens))

    def _embed(self, output: "TowerOutput") -> "torch.Tensor":
        return output.project(output.pooled)


def _loader(
    run: "TrainedRun", dataset: "Dataset", data: Path, split: str, batch_size: int, workers: int
) -> "torch.utils.data.DataLoader":
    """Return the loader that CLIP_benchmark's command line makes, with open_clip's transform."""
    import torch
    from clip_benchmark.datasets.builder import build_dataset
    from open_clip.transform import image_transform

    from kbench.towers.config import IMAGENET_MEAN, IMAGENET_STD

    transform = image_transform(
        run.config.towers.image_size, is_train=False, mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    peer = build_dataset(
        f"wds/{dataset.name}",
        root=str(data / dataset.folder),
        split=split,
        transform=transform,
        task="zeroshot_classification",
    )
    batched = peer.batched(batch_size)
    batched.classes, batched.templates = peer.classes, peer.templates
    # webdataset refuses more loader processes than shards.
    shards = len(list((data / dataset.folder / split).glob("*.tar")))
    return torch.utils.data.DataLoader(
        batched, batch_size=None, shuffle=False, num_workers=min(workers, shards)
    )


def _run(given: Path | None, folder: Path) -> "TrainedRun":
    """Return a run to evaluate: a copy of the given one without its features, or one with random
    weights.
    """
    import torch

    from kbench import provenance
    from kbench.evaluate.run import TrainedRun
    from kbench.experiment.load import load, resolve
    from kbench.pretrain.model import ContrastiveModel, save
    from kbench.records.documents import ModelCard

    folder.mkdir()
    if given is not None:
        run = TrainedRun(given)
        if run.config.similarity != "cosine":
            raise UserError(
                f"{given} is of '{run.config.similarity}'; CLIP_benchmark evaluates 'cosine' only"
            )
        for path in (given / "config.json", given / "model.json", run.weights):
            (folder / path.name).symlink_to(path.resolve())
        return TrainedRun(folder)
    config = next(config for config in resolve(load(DATASET)) if config.similarity == "cosine")
    torch.manual_seed(0)
    model = ContrastiveModel(config)
    card = ModelCard(
        **{name: getattr(config, name) for name in ("run", "variant", "objective", "seed")},
        config_hash=config.hash,
        checkpoint_sha256=save(model, folder / "model.safetensors"),
        code_version=provenance.code_version(),
        torch_version=torch.__version__,
        image_digest=provenance.image_digest(),
        device="cpu",
        machine=provenance.machine(),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        **dict.fromkeys(
            ("steps", "samples", "seconds", "samples_per_second", "peak_memory_bytes"), 0
        ),
        data_wait_fraction=0.0,
        final_loss=0.0,
        logit_scale=model.similarity.logit_scale().item(),
    )
    files.write_json(folder / "config.json", config.model_dump(mode="json"))
    files.write_json(folder / "model.json", card.model_dump(mode="json"))
    return TrainedRun(folder)


def _take(source: Path, target: Path, limit: int | None) -> dict[str, int]:
    """Make a dataset of the first images of another, all where there is no limit; returns their
    numbers by split.
    """
    target.mkdir(parents=True)
    for name in ("classnames.txt", "zeroshot_classification_templates.txt"):
        (target / name).symlink_to((source / name).resolve())
    sizes = {}
    for split, share in (("train", 1), ("test", 5)):
        most = None if limit is None else max(1, limit // share)
        (target / split).mkdir()
        sizes[split] = shards = 0
        while sizes[split] != most and (source / split / f"{shards}.tar").exists():
            left = None if most is None else most - sizes[split]
            sizes[split] += _copy(
                source / split / f"{shards}.tar", target / split / f"{shards}.tar", left
            )
            shards += 1
        (target / split / "nshards.txt").write_text(str(shards))
    return sizes


def _copy(source: Path, target: Path, most: int | None) -> int:
    """Copy at most so many samples of a shard, all where there is no limit; returns their
    number.
    """
    keys = set()
    with tarfile.open(source) as archive, tarfile.open(target, "w") as copy:
        for info in archive:
            key = info.name.split(".")[0]
            if len(keys) == most and key not in keys:
                break
            keys.add(key)
            copy.addfile(info, archive.extractfile(info))
    return len(keys)
