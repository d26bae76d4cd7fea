"""What features are made from and with: the key by which a feature folder is kept, or made
again.
"""

from pathlib import Path
from typing import Any

from kbench import files, provenance, similarity
from kbench.datasets.dataset import Dataset
from kbench.datasets.part import Part
from kbench.datasets.reader import digest
from kbench.datasets.texts import class_names, templates
from kbench.errors import UserError
from kbench.evaluate.run import TrainedRun
from kbench.evaluate.store import MEANING, Reader
from kbench.experiment.schema import Evaluation
from kbench.identity.stages import Stages
from kbench.similarity import EVALUATION_ESTIMATOR

FROM_DATA = ("dataset_sha256", "texts_sha256")
"""What only a look at the data tells."""


def asked(run: TrainedRun, dataset: Dataset, evaluation: Evaluation) -> dict[str, Any]:
    """Return all of the key that can be known without the data; a similarity without random
    features has none in it.
    """
    config, probe = run.config, evaluation.linear_probe
    created = similarity.create(config.similarity, config.similarity_settings)
    draws = {
        "random_features": evaluation.random_features.model_dump(mode="json"),
        "estimator": evaluation.random_features.estimator or EVALUATION_ESTIMATOR,
        "probe_random_features": probe.random_features,
        "probe_released_scaling": probe.released_scaling,
    }
    return {
        **MEANING,
        "checkpoint_sha256": run.card.checkpoint_sha256,
        "training_code": run.card.training_code,
        "features_code": Stages().features(config, evaluation).hash,
        "image_digest": provenance.image_digest(),
        "dataset": dataset.model_dump(mode="json"),
        "image_size": config.towers.image_size,
        "preprocessing": config.towers.preprocessing.model_dump(mode="json"),
        "seed": config.seed,
        "probe_released_resize": probe.released_resize,
        **(draws if created.uses_random_features else dict.fromkeys(draws)),
    }


def of_data(
    dataset: Dataset, root: Path, known: dict[str, str] | None = None
) -> dict[str, str | None]:
    """Return the rest of the key: hashes of the data, and of class names and prompts, wherever
    these come from. known: the hash of every file, as the reader gives them.
    """
    texts = None
    if dataset.has_classes:
        texts = files.canonical_hash(
            [class_names(dataset, root), templates(dataset, root)], digits=64
        )
    return {"dataset_sha256": digest(root, known), "texts_sha256": texts}


def of_part(wanted: dict[str, Any], part: Part, shards: dict[str, str]) -> dict[str, Any]:
    """Return the key of a part, from what is `asked` for and the hashes of the shards that hold
    it.
    """
    return wanted | {"part": str(part), "shards": shards}


def identity(key: dict[str, Any]) -> str:
    """Return the hash by which a result names its features."""
    return files.canonical_hash(key)


def refuse_others(features: Reader, wanted: dict[str, Any]) -> None:
    """Raise UserError, naming what differs, if features were made from or with something else than
    is `asked` for.
    """
    present = {name: value for name, value in features.key.items() if name not in FROM_DATA}
    different = list(files.differences(present, wanted))
    if different:
        raise UserError(
            f"the features in {features.folder} are not those that were asked for:"
            f" {'; '.join(different)}. Run `kbench features` first: it makes again what does"
            " not fit"
        )
