"""What an experiment file may say, and the frozen configuration of one run."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from kbench.corpus.augmentation import Crop
from kbench.corpus.kinds import AnyCorpus
from kbench.datasets import dataset, suites
from kbench.datasets.part import Part
from kbench.datasets.part import parts as parts_of
from kbench.errors import UserError, unknown
from kbench.files import canonical_hash
from kbench.measures.settings import MOST_FEATURES, LinearProbeSettings
from kbench.records.section import Section
from kbench.towers.config import Preprocessing, TowerConfig

MOST_SAMPLES = 1 << 20
"""In a batch: more is a slip of the pen, not an experiment."""

Seed = Annotated[int, Field(ge=0, lt=1 << 63)]

Source = Literal["initialisation", "order", "steps", "corpus", "tuning"]
"""What a training draws: its first weights; the order of pairs, with captions and crops; the random
features of its steps, with dropout; the pairs that there are, where the corpus is resampled; and,
before it, the trials of the search that chose its settings.
"""


class Keep(Section):
    """Which weights along a training are kept and scored, besides the last."""

    every_epochs: float = Field(gt=0, le=100_000, description="epochs between two that are kept")


class Training(Section):
    """The optimisation recipe; defaults are those of the released code where it states one."""

    batch_size: int = Field(
        gt=1,
        le=MOST_SAMPLES,
        description="effective batch size: pairs that the loss compares with each other",
    )
    epochs: float = Field(
        gt=0, le=100_000, description="passes over the corpus, possibly fractional"
    )
    warmup_epochs: float = Field(ge=0, le=100_000, description="epochs of linear warm-up")
    schedule: Literal["continuous", "released"] = Field(
        default="continuous",
        description=(
            "continuous: steps of the whole run rounded, the warm-up's first step above its start;"
            " released: whole batches of each epoch, the warm-up's first step at its start, as in"
            " the code of arXiv 2404.19228"
        ),
    )
    learning_rate: float = Field(default=5e-4, gt=0, le=1000, description="peak learning rate")
    initial_learning_rate: float = Field(
        default=1e-6, ge=0, le=1000, description="where the warm-up starts"
    )
    final_learning_rate: float = Field(
        default=1e-5, ge=0, le=1000, description="where the cosine decay ends"
    )
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        default=(0.9, 0.98), description="AdamW's moment decay rates"
    )
    eps: float = Field(default=1e-8, gt=0, le=1, description="AdamW's epsilon")
    weight_decay: float = Field(
        default=0.5, ge=0, le=1000, description="AdamW's decoupled decay, on matrices only"
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(default="fp32", description="autocast type")
    micro_batch_size: int | None = Field(
        default=None,
        gt=0,
        le=MOST_SAMPLES,
        description="pairs of a process that are in memory at once, same gradient; null: all",
    )
    clip_norm: float | None = Field(
        default=None, gt=0, le=1e9, description="largest gradient norm; null: not clipped"
    )
    max_skipped_steps: int = Field(
        default=10,
        ge=0,
        le=1_000_000,
        description=(
            "steps in a row skipped for a loss or gradient not finite; one more stops the run"
        ),
    )
    activation_checkpointing: bool = Field(
        default=False, description="recompute blocks in backward: less memory"
    )
    compile: bool = Field(
        default=False, description="compile the towers' blocks with torch.compile"
    )
    crop: Crop | None = Field(
        default=None, description="random resized crop; null: resize and centre crop"
    )
    selection: Literal["last", "held-out", "test-column"] = Field(
        default="last",
        description=(
            "which epoch's weights are kept: the last, those of the lowest held-out loss, or, as"
            " the released code does, those of the best zero-shot accuracy on a reported test set"
        ),
    )
    test_column: str | None = Field(
        default=None, description="the dataset of selection 'test-column'"
    )
    keep: Keep | None = Field(
        default=None, description="weights along the training to keep and score; null: none"
    )
    resample: bool = Field(
        default=False,
        description=(
            "train on a bootstrap sample of the corpus, drawn at the seed `corpus`: each pair as"
            " often as a Poisson number of mean 1 says"
        ),
    )

    @model_validator(mode="after")
    def _warm_up_fits(self) -> "Training":
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} must be less than epochs {self.epochs}"
            )
        return self

    @model_validator(mode="after")
    def _test_column_is_named(self) -> "Training":
        if (self.selection == "test-column") != (self.test_column is not None):
            raise ValueError(
                "selection 'test-column' and test_column, the dataset it looks at, go together"
            )
        return self


class Variant(Section):
    """One similarity to train: its registered name and the settings that differ from its
    defaults.
    """

    similarity: str = Field(description="a name of `kbench variants`")
    label: str | None = Field(
        default=None, pattern=r"^[a-z0-9.-]+$", description="name in tables; default: similarity"
    )
    set: dict[str, Any] = Field(default={}, description="settings of the similarity")
    objective: str | None = Field(default=None, description="overrides the experiment's objective")
    towers: dict[str, Any] = Field(
        default={}, description="keys of the tower configuration that differ: embed_dim ..."
    )
    fixed_seeds: dict[Source, Seed] = Field(
        default={},
        description="sources of randomness that have this seed in every run, not the run's own",
    )

    @property
    def name(self) -> str:
        """The label in tables and run names."""
        return self.label or self.similarity


class ImportedModel(Section):
    """A model that was imported, or has to be: where it is to be had, as `kbench check` says."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]*$",
        description="name under which it is imported, and in tables",
    )
    source: str | None = Field(
        default=None, description="what `kbench model import` takes, or an address to download from"
    )
    similarity: str | None = Field(
        default=None, description="compared by this one; null: as the model was trained"
    )
    data: tuple[str, ...] = Field(default=(), description="training data, as declared")
    licence: str | None = Field(default=None, description="of the weights, as declared")


class Start(Section):
    """The imported model that the towers of every variant start from."""

    model: str = Field(description="a name of `kbench models`")
    frozen: tuple[Literal["image", "text"], ...] = Field(
        default=(), description="towers that keep the model's weights; the others go on training"
    )


class RandomFeatureSettings(Section):
    """Random Fourier features in evaluation."""

    number: int = Field(
        default=1024,
        gt=0,
        le=MOST_FEATURES,
        description="features per draw; 1024 in the released code",
    )
    draws: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="independent draws; the table reports mean and sd over them",
    )
    estimator: str | None = Field(
        default=None, description="how frequencies are drawn; null: kbench's default"
    )


class Evaluation(Section):
    """What every trained model is scored on."""

    datasets: tuple[str, ...] = Field(
        min_length=1,
        description="names of `kbench datasets`, or `suite:NAME` in place of all in a suite",
    )
    tasks: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="names of `kbench tasks`; null: those that need not be asked for",
    )
    random_features: RandomFeatureSettings = RandomFeatureSettings()
    linear_probe: LinearProbeSettings = LinearProbeSettings()
    batch_size: int = Field(
        default=256,
        gt=0,
        le=MOST_SAMPLES,
        description="images encoded at once; does not change results",
    )
    images_per_job: int = Field(
        default=250_000,
        gt=0,
        le=10**12,
        description=(
            "a dataset of more labelled images is encoded by several jobs; does not change results"
        ),
    )
    synthetic: bool = Field(
        default=False, description="read the embedded world in place of real data (smoke runs)"
    )

    def parts(self) -> list[tuple[str, Part]]:
        """Return (dataset, part) of every part of the datasets that are too large for one job."""
        needed = []
        for name in () if self.synthetic else self.datasets:
            parts = list(parts_of(dataset.get(name), self.images_per_job))
            needed += [(name, part) for part in parts if len(parts) > 1]
        return needed

    @field_validator("datasets")
    @classmethod
    def _without_suites(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return suites.expanded(names)
        except UserError as error:
            raise ValueError(str(error)) from error


class Resources(Section):
    """What one pretraining job asks the machine or the scheduler for; never part of a run's
    identity.
    """

    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads")
    processes: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="training processes, each with its part of every batch",
    )
    workers: int = Field(
        default=1, ge=0, le=1024, description="data loader processes of each training process"
    )
    memory_gb: int = Field(default=4, ge=1, le=65_536, description="main memory, gigabytes")
    hours: float = Field(default=1, gt=0, le=10_000, description="time limit")


class Tuning(Section):
    """A search before the runs that are reported: the same budget for every variant, judged on
    held-out pairs only.
    """

    grid: dict[str, tuple[bool | int | float | str, ...]] = Field(
        min_length=1,
        description="values to try of keys of `training` and of settings of the similarity",
    )
    trials: int = Field(gt=0, le=10_000, description="points of the grid that each variant tries")
    seed: Seed = Field(
        default=1000, description="training seed of the search; none of the reported seeds"
    )
    seeds: int = Field(
        default=1,
        gt=0,
        le=100,
        description="trainings of each point, at `seed` and the next ones; their mean decides",
    )
    epochs: float | None = Field(
        default=None,
        gt=0,
        le=100_000,
        description="length of a trial; null: as long as a reported run",
    )
    rule: Literal["held-out loss"] = Field(
        default="held-out loss", description="what decides; the lowest is chosen"
    )

    def first_seed(self, variant: Variant) -> int:
        """Return the first training seed of a variant's trials."""
        return variant.fixed_seeds.get("tuning", self.seed)

    def seeds_of(self, variant: Variant) -> range:
        """Return the training seeds of every point that a variant tries."""
        first = self.first_seed(variant)
        return range(first, first + self.seeds)

    @property
    def identity(self) -> dict[str, Any]:
        """What runs that use a search's choice are known by; one seed is as in kbench 0.1.0, which
        could have no more.
        """
        return self.model_dump(mode="json", exclude={"seeds"} if self.seeds == 1 else None)


class Primary(Section):
    """The question that an experiment is made to answer, named before it runs: everything else that
    its report compares is exploratory.
    """

    task: str = Field(description="a name of `kbench tasks`")
    dataset: str | None = Field(
        default=None, description="one of the datasets; null: the average over those of the task"
    )
    reference: str = Field(description="label of the variant or model that others are set against")
    variants: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="labels of the others; null: all of them"
    )


class Experiment(Section):
    """An experiment file: models to evaluate, those that it trains on one corpus, with several
    similarity variants and seeds, and those that were imported.
    """

    name: str = Field(
        pattern=r"^[a-z0-9_-]+$", description="name of the experiment and of its results folder"
    )
    description: str = Field(description="one sentence")
    recipe: str | None = Field(
        default=None,
        description=(
            "released recipe that it claims to follow; what differs from it is listed in full"
        ),
    )
    corpus: AnyCorpus | None = None
    towers: str | None = Field(
        default=None,
        description="tower configuration: kbench's, open_clip's, or a path to a JSON file",
    )
    start: Start | None = Field(
        default=None,
        description="in the place of `towers`: an imported model's, with its weights; null: drawn",
    )
    variants: tuple[Variant, ...] = Field(default=(), description="what is trained")
    models: tuple[ImportedModel, ...] = Field(
        default=(), description="names of `kbench models`: imported, evaluated as they are"
    )
    objective: str = Field(default="infonce", description="a name of kbench.objective")
    seeds: tuple[Seed, ...] = Field(default=(), max_length=1000, description="training seeds")
    training: Training | None = None
    tuning: Tuning | None = Field(
        default=None, description="null: all variants share the settings of `training`"
    )
    evaluation: Evaluation
    resources: Resources = Resources()
    margin: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description=(
            "largest difference from a published value that counts as reproduced, and between"
            " variants as equivalent, points"
        ),
    )
    primary: Primary | None = Field(
        default=None, description="null: no question was named, and all comparisons are exploratory"
    )
    paired_seeds: bool = Field(
        default=False,
        description=(
            "seeds of different variants are compared pair by pair; to be said before a run,"
            " where a seed is known to move all variants alike"
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_names(cls, values: Any) -> Any:
        # `variants: [cosine, wpse-gaussian]` is short for `[{similarity: cosine}, ...]`.
        for key, inner in (("variants", "similarity"), ("models", "name")):
            if isinstance(values, dict) and isinstance(values.get(key), list):
                entries = [{inner: v} if isinstance(v, str) else v for v in values[key]]
                values = {**values, key: entries}
        return values

    @model_validator(mode="after")
    def _something_to_evaluate(self) -> "Experiment":
        if not self.variants and not self.models:
            raise ValueError("variants: name at least one to train, or one of `models`")
        needed = ("corpus", "start" if self.start else "towers", "seeds", "training")
        for key in needed:
            if self.variants and not getattr(self, key):
                raise ValueError(f"{key}: Field required where variants are trained")
            if not self.variants and getattr(self, key):
                raise ValueError(f"{key}: says how variants are trained, and there are none")
        return self

    @model_validator(mode="after")
    def _starts_from_whole_towers(self) -> "Experiment":
        if self.start is None:
            return self
        if self.towers is not None:
            raise ValueError(
                f"towers: `start` says which already, those of the model '{self.start.model}'"
            )
        changed = [variant.name for variant in self.variants if variant.towers]
        if changed:
            raise ValueError(
                f"variants: '{changed[0]}' changes towers whose weights are those of the model"
                f" '{self.start.model}'"
            )
        return self

    @model_validator(mode="after")
    def _draws_what_is_fixed(self) -> "Experiment":
        for source, drawn, remedy in (
            ("corpus", self.training and self.training.resample, "set training.resample to true"),
            ("tuning", self.tuning, "add a section `tuning`"),
        ):
            fixing = [one.name for one in self.variants if source in one.fixed_seeds]
            if fixing and not drawn:
                raise ValueError(
                    f"variants: '{fixing[0]}' fixes the seed '{source}', at which nothing is drawn;"
                    f" {remedy}"
                )
        return self

    @model_validator(mode="after")
    def _distinct(self) -> "Experiment":
        labels = [variant.name for variant in self.variants]
        models = [model.name for model in self.models]
        for what, items in (
            ("variants", labels),
            ("models", models),
            ("variants and models", (*labels, *models)),
            ("seeds", self.seeds),
            ("datasets", self.evaluation.datasets),
            ("tasks", self.evaluation.tasks or ()),
        ):
            repeated = {item for item in items if list(items).count(item) > 1}
            if repeated:
                raise ValueError(
                    f"{what} named twice: {', '.join(map(str, sorted(repeated)))}; give a label"
                    " to one"
                )
        return self

    @model_validator(mode="after")
    def _primary_names_what_there_is(self) -> "Experiment":
        if self.primary is None:
            return self
        labels = [part.name for part in (*self.variants, *self.models)]
        compared = (self.primary.reference, *(self.primary.variants or ()))
        datasets = [self.primary.dataset] if self.primary.dataset else []
        for kind, names, legal in (
            ("variant", compared, labels),
            ("dataset", datasets, self.evaluation.datasets),
        ):
            for name in names:
                if name not in legal:
                    raise ValueError(
                        f"primary: {unknown(f'{kind} of this experiment', name, legal)}"
                    )
        if self.primary.reference in (self.primary.variants or ()):
            raise ValueError(f"primary: '{self.primary.reference}' is compared with itself")
        return self

    @model_validator(mode="after")
    def _sets_are_of_the_corpus(self) -> "Experiment":
        for name in self.evaluation.datasets if self.corpus else ():
            if reason := self.corpus.lacks(name):
                raise ValueError(f"evaluation.datasets: {name} cannot be had with corpus: {reason}")
        return self

    @model_validator(mode="after")
    def _tuned_on_nothing_reported(self) -> "Experiment":
        if self.tuning is None:
            return self
        tuned = set().union(*map(self.tuning.seeds_of, self.variants))
        if seen := tuned & set(self.seeds):
            raise ValueError(
                f"tuning.seed {min(seen)} is one of the reported seeds; choose another"
            )
        return self


ADDED_LATER: dict[str, dict[str, Any]] = {
    "corpus": {"fresh_pairs": 0, "shapes": 6, "colours": 7, "specificity": 0.0},
    "training": {"schedule": "continuous", "keep": None, "resample": False},
    "towers": {
        "backbone": None,
        "layer_norm_eps": None,
        "long_captions": "keep-end",
        "preprocessing": Preprocessing().model_dump(mode="json"),
    },
}
"""Keys of a run's configuration that release 0.1.0 did not have, with the value that stands for
what it did.
"""


class Imported(Section):
    """What is known of weights that were not trained here."""

    sha256: str | None = Field(
        description=(
            "SHA-256 of model.safetensors, in kbench's names of tensors; null: a smoke run's"
            " stand-in, whose weights are drawn"
        )
    )
    data: tuple[str, ...] = Field(description="declared training data; empty: not declared")
    files: dict[str, str] = Field(
        default={},
        description="further files in the model's folder, of its tokenizer, with their SHA-256",
    )


class StartedFrom(Imported):
    """The imported model that a training starts from."""

    model: str = Field(description="its name in models/, which is not part of a run's identity")
    frozen: tuple[Literal["image", "text"], ...] = Field(
        description="towers that keep the model's weights"
    )


class RunConfig(Section):
    """Everything that decides the outcome of one run, with every default written out. Its hash is
    its identity.
    """

    schema_version: int = Field(
        default=1, description="version of the schema that the document obeys"
    )
    variant: str = Field(description="label in tables")
    similarity: str = Field(description="a name of `kbench variants`")
    similarity_settings: dict[str, Any] = Field(description="every setting, defaults included")
    objective: str = Field(description="a name of `kbench objectives`")
    seed: int = Field(description="training seed")
    fixed_seeds: dict[Source, Seed] = Field(
        default={}, description="sources of randomness that have another seed"
    )
    corpus: AnyCorpus | None = Field(
        description="what is trained on: a kind of corpus and its settings; null: imported"
    )
    towers: TowerConfig
    training: Training | None
    imported: Imported | None = Field(default=None, description="null: trained by kbench")
    start: StartedFrom | None = Field(
        default=None, description="where the towers' weights start; null: drawn"
    )
    search: str | None = Field(
        default=None, description="identity of the run before its settings were tuned"
    )

    @property
    def hash(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the canonical JSON; the label is not
        part of it.

        Nor is a key that came later, where it says what was always done: the runs of earlier
        releases keep their names.
        """
        values = self.model_dump(mode="json", exclude={"variant"})
        for absent in ("imported", "start", "fixed_seeds"):
            if not values[absent]:
                del values[absent]
        if self.start is not None:
            del values["start"]["model"]
        for section, added in ADDED_LATER.items():
            if values[section] is not None:
                values[section] = {
                    k: v for k, v in values[section].items() if k not in added or v != added[k]
                }
        return canonical_hash(values)

    def seed_of(self, source: Source) -> int:
        """Return the seed of one source of randomness."""
        return self.fixed_seeds.get(source, self.seed)

    @property
    def corpus_name(self) -> str:
        """What tables call the data that the model was trained on; after an imported model's own
        data it is another training than on the corpus alone.
        """
        if self.start is not None:
            return f"{self.corpus.name} after {self.start.model}"
        if self.imported is None:
            return self.corpus.name
        return ", ".join(self.imported.data) or "not declared"

    @property
    def epochs(self) -> float | None:
        """Passes over the corpus; None of an imported model."""
        return self.training.epochs if self.training else None

    @property
    def selection(self) -> str:
        """Which rule chose the weights."""
        return self.training.selection if self.training else "imported"

    @property
    def points(self) -> int:
        """Weights of the run that are scored: the last, and those that are kept on the way."""
        keep = self.training.keep if self.training else None
        return math.ceil(self.epochs / keep.every_epochs) if keep else 1

    @property
    def compared_pairs(self) -> int:
        """Pairs that the loss compared with each other; of an imported model, for which that is not
        known, as few as there can be.
        """
        return self.training.batch_size if self.training else 2

    @property
    def run(self) -> str:
        """The run's name, VARIANT-sSEED-HASH; with tuned settings the hash is that of the search,
        which names them.
        """
        return f"{self.variant}-s{self.seed}-{(self.search or self.hash)[:8]}"
