"""Typed metadata of the evaluation datasets, one YAML file each."""

import functools
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kbench.errors import UserError, unknown
from kbench.locations import Locations

FOLDER = Path(__file__).parent / "datasets"

TASKS: dict[str, tuple[str, ...]] = {
    "classification": ("zeroshot", "linear_probe"),
    "retrieval": ("retrieval",),
    "pairs": ("pmi_gap",),
}
"""Tasks that apply to each kind of dataset."""


class Dataset(BaseModel):
    """One evaluation dataset. Counts are of the published data; null where the embedded world's size decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="name in experiment files and result rows")
    kind: Literal["classification", "retrieval", "pairs"] = Field(description="decides which tasks apply")
    location: Literal["world", "data"] = Field(description="generated embedded world, or the user's data folder")
    folder: str = Field(description="folder below that location, in CLIP_benchmark's webdataset layout")
    source: str = Field(description="where the data come from")
    train_split: str | None = Field(default="train", description="split the linear probe is fitted on")
    val_split: str | None = Field(default=None, description="official validation split; null: held out of train")
    held_out: Literal["random", "stratified"] = Field(
        default="random", description="how a tenth of train is held out where there is no validation split"
    )
    test_split: str = Field(default="test", description="split that is scored")
    n_train: int | None = Field(default=None, description="images in the train split")
    n_test: int | None = Field(default=None, description="images in the test split")
    n_classes: int | None = Field(default=None, description="number of classes; null for retrieval and pairs")
    main_metric: str = Field(description="the metric the dataset is reported by")
    prompts: str = Field(default="zeroshot_classification_templates.txt", description="file of prompt templates")
    stand_in: str = Field(description="dataset of the embedded world that replaces it in smoke runs")

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that this dataset is evaluated by."""
        tasks = TASKS[self.kind]
        return tasks if self.train_split else tuple(task for task in tasks if task != "linear_probe")

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing, as a fraction; null where there are no classes."""
        return 1 / self.n_classes if self.n_classes else None

    def root(self, locations: Locations) -> Path:
        """Return the dataset's folder; UserError, saying what to place where, if it is absent."""
        root = locations.folder(self.location) / self.folder
        if not root.is_dir():
            raise UserError(
                f"dataset '{self.name}' is not at {root}: place it there in CLIP_benchmark's webdataset layout "
                f"(classnames.txt, {self.test_split}/nshards.txt, {self.test_split}/0.tar ...); source: {self.source}"
            )
        return root


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of all datasets."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@functools.cache
def get(name: str) -> Dataset:
    """Return a dataset's metadata; UserError naming the nearest match for an unknown one."""
    if name not in names():
        raise unknown("dataset", name, names())
    path = FOLDER / f"{name}.yaml"
    try:
        return Dataset(name=name, **yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, TypeError, yaml.YAMLError) as error:
        raise UserError(f"{path.name}: not a dataset description: {error}") from error
