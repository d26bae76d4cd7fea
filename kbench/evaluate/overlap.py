"""What is scored must not have been trained on, or held out to choose by, whatever its name."""

from pathlib import Path

from kbench.corpus import manifest
from kbench.datasets.dataset import Dataset
from kbench.errors import UserError


def refuse_trained_on(run: Path, dataset: Dataset, hashes: dict[str, str]) -> None:
    """Raise UserError if a shard of the split that is scored has the content of one of the corpus.

    hashes: SHA-256 of every file of the dataset by its name; a run whose experiment trains nothing
    has no corpus.
    """
    path = next((p / "corpus.json" for p in run.parents if (p / "corpus.json").is_file()), None)
    if path is None:
        return
    corpus = manifest.read(path)
    seen = {shard.sha256: shard.name for shard in (*corpus.shards, *corpus.held_out)}
    for name, sha256 in hashes.items():
        if Path(name).parent.as_posix() == dataset.test_split and sha256 in seen:
            raise UserError(
                f"dataset '{dataset.name}': {name} has the same content as {seen[sha256]} of the"
                f" corpus '{corpus.corpus}': what is scored would have been trained on or chosen by"
            )
