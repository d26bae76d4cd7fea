"""What a task is: what it declares, how it scores a run from stored features, and what it adds to a
report.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from kbench.document.parts import Table

if TYPE_CHECKING:
    from kbench.datasets.dataset import Dataset
    from kbench.evaluate.run import TrainedRun
    from kbench.evaluate.store import Reader
    from kbench.experiment.schema import Evaluation
    from kbench.records.documents import TaskResult

Arrays = Mapping[str, np.ndarray]
"""What a task kept of one result, by name."""


@dataclass(frozen=True)
class Measure:
    """A metric as a task declares it.

    chance: what guessing scores on a dataset, None if that is not known. share_of_samples: it is
    the share of the test samples for which something holds, so that its sampling error is binomial.
    least: what its expectation cannot be below, so that no interval is.
    of: the metric of which this is another reading, shown in a table of its own where that one is
    the main metric; which: the word for it in the table's id. samples: the scores (N,) of single
    test samples from what was kept, the arrays `needs`, whose mean is the metric; in_batches: of
    batches in place of samples.
    """

    name: str
    title: str
    unit: Literal["fraction", "nats", "correlation"] = "fraction"
    higher_is_better: bool = True
    share_of_samples: bool = False
    chance: Callable[[Dataset], float | None] = lambda dataset: None
    of: str | None = None
    which: str = ""
    samples: Callable[[Arrays], np.ndarray] | None = None
    needs: frozenset[str] = frozenset()
    in_batches: bool = False
    least: float | None = None


@dataclass(frozen=True)
class Average:
    """The mean over random-feature draws, their sd, and the value at each of them."""

    value: float | None
    draw_sd: float | None
    draws: list[float]


@dataclass(frozen=True)
class Outcome:
    """What a task found: for each metric its value, or its value at each random-feature draw; None
    if undefined.

    settings: what produced them, beside the values in a result. arrays: what is kept of single
    samples.
    """

    n_test: int
    values: Mapping[str, Sequence[float | None] | float | None]
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def average(self, metric: str) -> Average:
        """Return a metric over random-feature draws: undefined where any draw's is, no draws where
        there is one.
        """
        drawn = self.values[metric]
        values = list(drawn) if isinstance(drawn, Sequence) else [drawn]
        if any(value is None for value in values):
            return Average(None, None, [])
        mean, draws = float(np.mean(values)), [float(value) for value in values]
        return (
            Average(mean, float(np.std(values, ddof=1)), draws)
            if len(draws) > 1
            else Average(mean, None, [])
        )


@dataclass(frozen=True)
class Scatter:
    """One panel of points (x, y) for each variant, with the line of equality."""

    id: str
    points: Mapping[str, tuple[np.ndarray, np.ndarray]]
    x: str
    y: str
    alternative: str
    caption: str


@dataclass(frozen=True)
class Curves:
    """A curve over 1, 2, 3 ... for each variant beside one reference, on logarithmic axes of which
    `depth` is shown.

    depth: lowest value that is shown, as a share of the reference's first.
    """

    id: str
    reference: tuple[str, np.ndarray]
    curves: Mapping[str, np.ndarray]
    depth: float
    x: str
    y: str
    alternative: str
    caption: str


@dataclass(frozen=True)
class Part:
    """What a task adds to its section of a report."""

    figures: Sequence[Scatter | Curves] = ()
    tables: Sequence[Table] = ()


class Task(ABC):
    """An evaluation task. The file's name is the task's, and it has to be in `name`."""

    name: ClassVar[str]
    title: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]
    """Kinds of dataset that it is for: classification, retrieval, pairs."""

    metrics: ClassVar[tuple[Measure, ...]]
    """What it measures. Of a dataset whose main metric is not among them the first is the main
    one.
    """

    fits: ClassVar[bool] = False
    """Whether it learns from the train split, so that it is for datasets that have one."""

    by_default: ClassVar[bool] = True
    """Whether an experiment that names no tasks is scored by it, if it is one of kbench's own."""

    uses_prompts: ClassVar[bool] = False
    """Whether its result depends on prompt templates, which a published number may not state."""

    obeys: ClassVar[tuple[str, ...]] = ()
    """Evaluation settings that decide the result, by their places in the section:
    'random_features.estimator' ...
    """

    place: ClassVar[float] = 100
    """Where in a report; lower comes first."""

    section: ClassVar[str | None] = None
    """Heading of its section; None: its title."""

    about: ClassVar[tuple[str, ...]] = ()
    """Sentences at the head of its section."""

    figure: ClassVar[str | None] = None
    """Heading of the figure of its first dataset alone, where it has no figure of all datasets."""

    every_metric: ClassVar[bool] = False
    """Whether its table has a column for each metric, in place of one for the main metric of each
    dataset.
    """

    interval: ClassVar[bool] = False
    """Whether its table has the 95 % interval over training seeds of the first column."""

    gap: ClassVar[bool] = False
    """Whether its main metric is a distance to the best scores that there are, which theory bounds
    the error of classifiers by.
    """

    pairs_shown: ClassVar[bool] = False
    """Whether its paired comparisons are shown unfolded, as those of a report's first task always
    are.
    """

    keeps: ClassVar[tuple[str, ...]] = ()
    """Arrays that `part` reads."""

    @classmethod
    def reads(cls) -> frozenset[str]:
        """Return the arrays of a result that anybody reads: its metrics' tests and `part`."""
        return frozenset(cls.keeps).union(*(measure.needs for measure in cls.metrics))

    @abstractmethod
    def score(
        self, run: TrainedRun, features: Reader, evaluation: Evaluation, *, device: str
    ) -> Outcome:
        """Score a run on a dataset from its stored features; called without gradients."""

    @property
    def measures(self) -> dict[str, Measure]:
        """The metrics by name."""
        return {measure.name: measure for measure in self.metrics}

    def applies(self, dataset: Dataset) -> bool:
        """Return whether a dataset can be scored by this task."""
        return dataset.kind in self.kinds and (dataset.train_split is not None or not self.fits)

    def main(self, main_metric: str) -> str:
        """Return the metric by which a dataset with this main metric is reported in this task."""
        return main_metric if main_metric in self.measures else self.metrics[0].name

    def notes(self, results: Sequence[TaskResult]) -> list[str]:
        """Return what has to be said below tables of these results of the task."""
        return []

    def verdict(self, best: str, average: str) -> str | None:
        """Return half a sentence for the head of a report: about the best variant, with its average
        as text.
        """
        return None

    def floors(self, corpus: Mapping[str, Any]) -> dict[str, dict[int, float]]:
        """Return what no model can better in the first metric, by name and embedding dimension.

        corpus: an experiment's section of that name.
        """
        return {}

    def part(self, kept: Mapping[str, Arrays]) -> Part:
        """Return what the section also shows, from the arrays `keeps` of each variant at its first
        seed with them.
        """
        return Part()


def random_feature_settings(run: TrainedRun, evaluation: Evaluation) -> dict[str, Any]:
    """Return what a result row says about random features; empty for a similarity without."""
    if not run.similarity.uses_random_features:
        return {}
    from kbench.similarity import EVALUATION_ESTIMATOR

    settings = evaluation.random_features
    return {
        "random_features": settings.number,
        "draws": settings.draws,
        "estimator": settings.estimator or EVALUATION_ESTIMATOR,
    }
