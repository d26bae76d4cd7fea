"""Typed metadata of the evaluation datasets, one YAML file each.

kbench's own lie in known/ beside this module. A file NAME.yaml in `workflow/datasets` of the
working folder adds a dataset in the same way, so that a new one needs a single file and no change
to kbench.
"""

import functools
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from kbench import yaml_file
from kbench.errors import UserError, unknown
from kbench.locations import Locations
from kbench.records.section import Section

FOLDER = Path(__file__).parent / "known"
ADDED = Path("workflow/datasets")
"""Where a user's own entries are looked for, relative to the working folder."""

IGNORES_SPLIT = ("sun397", "caltech101", "eurosat")
"""Loaders of CLIP_benchmark 1.6.2 that return the same images whatever split they are asked for."""


class Dataset(Section):
    """One evaluation dataset. Counts are of images as published; null where they are not known or
    depend on options.
    """

    name: str = Field(description="name in experiment files and result rows")
    kind: Literal[
        "classification", "multi_label", "retrieval", "image_caption_selection", "pairs"
    ] = Field(
        description=(
            "decides which tasks apply; multi_label: an image may show several classes;"
            " image_caption_selection: of an image's captions the first fits and the others do not"
        )
    )
    location: Literal["world", "data"] = Field(
        description="generated embedded world, or the user's data folder"
    )
    folder: str = Field(
        description="folder below that location, in CLIP_benchmark's webdataset layout"
    )
    source: str = Field(description="where the data come from, and where the counts are stated")
    url: str | None = Field(
        default=None, description="the same layout on the web, for `kbench dataset fetch`"
    )
    revision: str | None = Field(
        default=None,
        description="revision that the URL names; null: it may change, so that only hashes tell",
    )
    loader: str | None = Field(
        default=None, description="CLIP_benchmark's dataset that its exporter writes this from"
    )
    obtain: str | None = Field(
        default=None, description="how the folder is made, where there is no URL or loader"
    )
    train_split: str | None = Field(
        default="train", description="split the linear probe is fitted on"
    )
    val_split: str | None = Field(
        default=None, description="official validation split; null: held out of train"
    )
    held_out: Literal["random", "stratified", "proportional"] = Field(
        default="random",
        description=(
            "how a tenth of train is held out where there is no validation split: torch's"
            " random_split, scikit-learn's stratified one, or every tenth of each class"
        ),
    )
    test_split: str = Field(default="test", description="split that is scored")
    n_train: int | None = Field(default=None, gt=0, description="images in the train split")
    n_val: int | None = Field(default=None, gt=0, description="images in the validation split")
    n_test: int | None = Field(default=None, gt=0, description="images in the test split")
    n_captions: int | None = Field(default=None, gt=0, description="captions in the test split")
    n_classes: int | None = Field(
        default=None, gt=1, description="number of classes; null where images have captions"
    )
    main_metric: str = Field(description="the metric the dataset is reported by, one of its tasks")
    class_names: str = Field(
        default="classnames.txt",
        description=(
            "file in the folder, or a published list: arxiv-2404.19228:KEY, clip_benchmark:KEY; in"
            " label order"
        ),
    )
    class_order: Literal["alphabetical", "folder"] | None = Field(
        default=None,
        description=(
            "what orders the labels: the alphabet, or classnames.txt in the folder, where copies of"
            " the set differ; null: the list that class_names names"
        ),
    )
    prompts: str = Field(
        default="zeroshot_classification_templates.txt",
        description=(
            "prompt templates: file in the folder, arxiv-2404.19228:KEY, clip_benchmark:KEY or "
            "open_clip:CONSTANT"
        ),
    )
    preprocessing: Literal["resize short side, centre crop"] = Field(
        default="resize short side, centre crop",
        description="from image to the towers' input, bicubic",
    )
    stand_in: str = Field(
        description="dataset of the embedded world that replaces it in smoke runs"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.has_classes != (self.n_classes is not None):
            raise ValueError("n_classes is for classification, and needed there")
        if ".." in Path(self.folder).parts:
            raise ValueError(
                f"folder '{self.folder}' leads out of the data folder; legal: a path without '..'"
            )
        for split in self.splits:
            if Path(split).name != split or split == "..":
                raise ValueError(
                    f"split '{split}' is no name of a folder; legal: a name without '/'"
                )
        if self.loader in IGNORES_SPLIT and len(self.splits) > 1:
            raise ValueError(
                f"CLIP_benchmark's loader '{self.loader}' ignores the split, so that train and test"
                " would be the same images: name another source"
            )
        return self

    @property
    def splits(self) -> dict[str, int | None]:
        """Split names, train first, and the published number of images in each."""
        named = (
            (self.train_split, self.n_train),
            (self.val_split, self.n_val),
            (self.test_split, self.n_test),
        )
        return {name: count for name, count in named if name is not None}

    @property
    def has_classes(self) -> bool:
        """Whether images are labelled with classes, which prompts are made from."""
        return self.kind in ("classification", "multi_label")

    @property
    def layout(self) -> str:
        """What dataset_type.txt says in CLIP_benchmark's layout."""
        layouts = {"classification": "classification", "multi_label": "multilabel"}
        return layouts.get(self.kind, "retrieval")

    @property
    def captioned(self) -> bool:
        """Whether images have captions, as CLIP_benchmark lays them out for retrieval."""
        return self.kind in ("retrieval", "image_caption_selection")

    def path(self, locations: Locations) -> Path:
        """Return where the dataset's folder is or would be; UserError if the location is not
        set.
        """
        if Path(self.folder).is_absolute():
            return Path(self.folder)
        return locations.folder(self.location) / self.folder

    def root(self, locations: Locations) -> Path:
        """Return the dataset's folder; UserError, saying what to place where, if it is absent."""
        root = self.path(locations)
        if not root.is_dir():
            raise UserError(f"dataset '{self.name}' is not at {root}. {self.instructions(root)}")
        return root

    def is_present(self, locations: Locations) -> bool:
        """Return whether the dataset's folder is there."""
        try:
            return self.path(locations).is_dir()
        except UserError:
            return False

    def substitute(self) -> Self:
        """Return the stand-in of the embedded world under this dataset's name, tasks and main
        metric.
        """
        stand_in = get(self.stand_in)
        train = stand_in.train_split if self.train_split else None
        kept = {"name": self.name, "train_split": train, "main_metric": self.main_metric}
        return stand_in.model_copy(update=kept)

    def instructions(self, root: Path) -> str:
        """Return what to do so that the dataset is at `root`."""
        if self.location == "world":
            return "Generate it: kbench world make --output FOLDER, then --world FOLDER."
        labels = "dataset_type.txt" if self.captioned else "classnames.txt"
        files = ", ".join(
            [labels, *(f"{split}/nshards.txt, {split}/0.tar ..." for split in self.splits)]
        )
        place = (
            f"Place there, in CLIP_benchmark's webdataset layout: {files}. Source: {self.source}."
        )
        return " ".join([place, *self._ways(root)])

    def _ways(self, root: Path) -> list[str]:
        ways = []
        if self.url:
            ways.append(
                f"Or download it from {self.url}: kbench dataset fetch {self.name} --data"
                f" {root.parent}."
            )
        if self.loader:
            options = {"retrieval": " --retrieval", "multilabel": " --multilabel"}
            option = options.get(self.layout, "")
            ways.append(
                f"Or export it, once for each SPLIT of {', '.join(self.splits)}:"
                f" clip_benchmark_export_wds --dataset {self.loader} --split SPLIT{option}"
                f" --dataset-root DOWNLOADS --output {root}."
            )
        if self.obtain:
            ways.append(self.obtain)
        return ways


def names() -> tuple[str, ...]:
    """Return the names of all datasets, kbench's and the user's."""
    return tuple(sorted(path.stem for folder in (FOLDER, ADDED) for path in folder.glob("*.yaml")))


def get(name: str) -> Dataset:
    """Return a dataset's metadata; UserError naming the nearest match for an unknown one."""
    # Not every word can be the name of a file; those that are one have been listed.
    if name not in names():
        raise unknown("dataset", name, names())
    paths = [path for folder in (FOLDER, ADDED) if (path := folder / f"{name}.yaml").is_file()]
    if len(paths) > 1:
        raise UserError(f"{paths[1]} names a dataset that kbench already has: give it another name")
    return _read(paths[0].resolve(), paths[0].stat().st_mtime_ns)


@functools.cache
def _read(path: Path, modified: int) -> Dataset:
    try:
        values = yaml_file.read(path)
        return Dataset(name=path.stem, **values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the entry"
        legal = (
            f"; legal keys: {', '.join(Dataset.model_fields)}"
            if problem["type"] == "extra_forbidden"
            else ""
        )
        raise UserError(f"{path}: {place}: {problem['msg']}{legal}") from error
    except TypeError as error:
        raise UserError(f"{path}: not a dataset description: {error}") from error
