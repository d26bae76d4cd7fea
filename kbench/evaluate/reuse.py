"""Take a finished run over from another experiment, where it is what a training would give, in the
place of training.

A run is the same where its configuration, the code of its training, the content of its corpus,
torch and the container image are. The weights, the log and the records are copied, and the features
that lie beside them are linked: files of a finished run are replaced, never changed. The other
experiment's folder is only read.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from kbench import files, provenance
from kbench.corpus import manifest
from kbench.corpus.manifest import Manifest
from kbench.errors import UserError
from kbench.evaluate import store
from kbench.evaluate.run import TrainedRun
from kbench.experiment.schema import RunConfig
from kbench.identity.stages import Stages
from kbench.records import intermediate

RECORDS = ("code", "environments")


def take(run: RunConfig, folder: Path, corpus: Manifest, results: Sequence[Path]) -> str | None:
    """Copy the run into its folder if an experiment in one of the results folders has it; return
    that experiment.

    None, having printed why for each run that has the name and is not the same, if there is none.
    """
    for other in _finished(run.run, folder, results):
        reason = _difference(run, corpus, other)
        experiment = other.parents[1].name
        if reason is None:
            _copy(other, folder, experiment)
            return experiment
        print(f"{run.run} of {experiment} is not taken over: {reason}")
    return None


def _finished(run: str, folder: Path, results: Sequence[Path]) -> Iterator[Path]:
    for place in results:
        for card in sorted(place.glob(f"*/*/{run}/model.json")):
            if card.parent.resolve() != folder.resolve():
                yield card.parent


def _difference(run: RunConfig, corpus: Manifest, other: Path) -> str | None:
    """Return in words why a finished run of this name is not what training would give now, or None
    if it is.
    """
    trained = TrainedRun(other)
    try:
        there = manifest.read(other.parents[1] / "corpus.json")
        known = {
            "its configuration": (trained.config.hash, run.hash),
            "the code that trained it": (trained.card.training_code, Stages().training(run).hash),
            "its corpus": ((there.sha256, there.pairs), (corpus.sha256, corpus.pairs)),
            "its torch": (trained.card.torch_version, torch.__version__),
            "its container image": (trained.card.image_digest, provenance.image_digest()),
        }
        if trained.card.diverged:
            return "its training diverged"
        different = [what for what, (theirs, ours) in known.items() if theirs != ours]
        return (
            f"{', '.join(different)} differ{'s' * (len(different) == 1)}"
            if different
            else _unreadable(trained)
        )
    except UserError as error:
        return str(error)


def _unreadable(trained: TrainedRun) -> None:
    """Raise UserError if the weights are not those of the card."""
    _ = trained.weights


def _copy(other: Path, folder: Path, experiment: str) -> None:
    """Copy all of a run that counts, its card last."""
    for name in RECORDS:
        if (other / name).is_dir():
            shutil.copytree(other / name, folder / name, dirs_exist_ok=True)
    made = shutil.ignore_patterns("features", "evaluation")
    for kept in intermediate.finished(other):
        shutil.copytree(kept, folder / kept.relative_to(other), ignore=made, dirs_exist_ok=True)
    for record in sorted(other.glob(f"features/*/{store.RECORD}")):
        _link(record.parent, folder / "features" / record.parent.name)
    for name in ("metrics.jsonl", "model.safetensors"):
        if (other / name).is_file():
            with files.replacing(folder / name) as temporary:
                shutil.copyfile(other / name, temporary)
    card = TrainedRun(other).card
    taken = card.model_copy(update={"taken_from": card.taken_from or experiment})
    files.write_json(folder / "model.json", taken.model_dump(mode="json"))


def _link(source: Path, target: Path) -> None:
    """Give a feature folder a second place, which takes its name when all is there; a copy on
    another file system.
    """
    part = target.with_name(f".{target.name}.taken")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    try:
        shutil.copytree(source, part, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source, part)
    part.rename(target)
