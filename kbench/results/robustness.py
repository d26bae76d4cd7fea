"""Accuracy under a shift of the images against accuracy without it.

A model that is better everywhere is better under the shift too. What it gains beyond that is its
effective robustness (Taori et al. 2020, arXiv 2007.00644): how far its accuracy under the shift
lies above a line, in logits of the two accuracies, through those of other models.
"""

from dataclasses import dataclass

import numpy as np

from kbench.datasets import suites
from kbench.results.summary import Column, Scores

FEWEST = 3
"""Other variants that a line is drawn through at least."""


@dataclass(frozen=True)
class Shift:
    """A suite of shifted sets as a task has scored it: the column without the shift, and those with
    it.
    """

    suite: str
    reference: Column
    shifted: tuple[Column, ...]

    @property
    def task(self) -> str:
        """The task of all columns."""
        return self.reference.task


def shifts(scores: Scores) -> list[Shift]:
    """Return each suite of shifted sets that some task has scored, in part at least, beside a set
    that it is shifted from: one a task, by the first such set.
    """
    columns = [scores.columns(task) for task in scores.tasks]
    every = [
        _shift(name, suite, of_task)
        for name, suite in suites.known().items()
        for of_task in columns
    ]
    return [shift for shift in every if shift]


def _shift(name: str, suite: dict, columns: list[Column]) -> Shift | None:
    by_dataset = {column.dataset: column for column in columns if column.unit == "fraction"}
    references = [by_dataset[one] for one in suite.get("shifted_from", ()) if one in by_dataset]
    shifted = tuple(by_dataset[one] for one in suite["datasets"] if one in by_dataset)
    return Shift(name, references[0], shifted) if references and shifted else None


def accuracies(scores: Scores, shift: Shift, group: str) -> dict[int, tuple[float, float]]:
    """Return (without shift, average under it) at each seed that has both."""
    without = scores.summary(group, shift.reference).values
    under = scores.average(group, list(shift.shifted)).values
    return {seed: (without[seed], under[seed]) for seed in sorted(without.keys() & under.keys())}


def effective(scores: Scores, shift: Shift) -> dict[str, float | None]:
    """Return each group's effective robustness as a fraction, of means over seeds, from the line
    through all other groups; None with fewer than three others, or where one is at 0 or 1.
    """
    points = {
        group: np.mean(list(of_seeds.values()), axis=0)
        for group in scores.groups
        if (of_seeds := accuracies(scores, shift, group))
    }
    return {group: _above_line(points, group) for group in points}


def _above_line(points: dict[str, np.ndarray], group: str) -> float | None:
    others = np.array([point for name, point in points.items() if name != group])
    inside = all(0 < value < 1 for point in points.values() for value in point)
    if len(others) < FEWEST or not inside or np.ptp(others[:, 0]) == 0:
        return None
    slope, offset = np.polyfit(_logit(others[:, 0]), _logit(others[:, 1]), 1)
    without, under = points[group]
    return float(under - 1 / (1 + np.exp(-(slope * _logit(without) + offset))))


def _logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1 - share))
