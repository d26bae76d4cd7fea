"""What an experiment can find before it runs: the smallest difference, and the seeds that one
needs, from what trainings and test images were seen to vary by.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from kbench import tasks
from kbench.experiment.schema import Experiment, Primary
from kbench.results import store, table
from kbench.results.interval import Error
from kbench.results.pairs import LEVEL, Pairs, groups_of_runs
from kbench.results.primary import columns_of
from kbench.results.summary import Scores

MOST_SEEDS = 1000

IMAGENET = "imagenet1k"
DATACOMP_SD = 0.002
"""Between seeds of one training, zero-shot top-1 accuracy on ImageNet: Gadre et al. 2023,
arXiv 2304.14108.
"""


@dataclass(frozen=True)
class Spread:
    """What a difference between two variants varies by.

    trainings: the variance of a single training's score; images: of the difference by the choice of
    test images, None where it is not known; source: where both were seen.
    """

    trainings: float
    images: float | None
    unit: str
    source: str

    def detectable(self, seeds: int, family: int) -> float:
        """Return the difference that is found four times in five with so many seeds of each
        variant, in Holm's first step of so many comparisons.
        """
        freedom = 2 * (seeds - 1)
        error = Error(2 * self.trainings / seeds, freedom, self.images or 0.0)
        return error.detectable(LEVEL / family)

    def seeds_for(self, difference: float, family: int) -> int | None:
        """Return the fewest seeds of each variant that find a difference; None where a thousand do
        not.
        """
        numbers = range(2, MOST_SEEDS + 1)
        return next((n for n in numbers if self.detectable(n, family) <= difference), None)


def comparisons(experiment: Experiment) -> int:
    """Return how many comparisons the question of an experiment asks for."""
    question = experiment.primary
    others = len(experiment.variants) + len(experiment.models) - 1
    return len(question.variants or ()) or max(1, others)


def of_pilot(question: Primary, folder: Path) -> Spread | None:
    """Return the spread that finished runs show, averaged over variants with two seeds or more;
    None where there are none of the question's task. UserError if it is no results folder.
    """
    loaded = store.load(folder)
    frame = table.frame(loaded)
    scores, groups = Scores(frame), groups_of_runs(frame)
    columns = columns_of(question, scores)
    averages = {group: scores.average(group, columns) for group in scores.groups}
    several = {group: average for group, average in averages.items() if average.n > 1}
    if not columns or not several:
        return None
    pairs = Pairs(loaded, scores, groups)
    compared = pairs.chosen([(*pair, tuple(columns)) for pair in combinations(several, 2)])
    sampled = [
        pair.estimate for pair in compared if pair.estimate and pair.estimate.covers_sampling
    ]
    return Spread(
        trainings=float(np.mean([average.sd**2 for average in several.values()])),
        images=float(np.mean([estimate.error.samples for estimate in sampled]))
        if sampled
        else None,
        unit=columns[0].unit,
        source=f"{folder}: {len(several)} variants, {min(a.n for a in several.values())} seeds",
    )


def assumed(experiment: Experiment) -> Spread | None:
    """Return what others have published of such trainings; None where nobody has."""
    task = tasks.get(experiment.primary.task)
    without_fit = task.metrics[0].name == "acc1" and not task.fits
    if not without_fit or IMAGENET not in experiment.evaluation.datasets:
        return None
    return Spread(DATACOMP_SD**2, None, "fraction", "arXiv 2304.14108, ImageNet zero-shot")
