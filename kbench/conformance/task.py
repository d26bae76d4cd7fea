"""What every evaluation task must do, tried on made-up features in which nothing is related to
anything.
"""

import math
import re
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from kbench import files, tasks
from kbench.conformance import made_up
from kbench.experiment.schema import Evaluation
from kbench.measures.settings import LinearProbeSettings
from kbench.tasks.base import Outcome

EVALUATION = Evaluation(
    datasets=tuple(made_up.DATASETS.values()), linear_probe=LinearProbeSettings(strides=(48,))
)

RANGES = {"fraction": (0, 1), "correlation": (-1, 1), "nats": (-math.inf, math.inf)}

SDS = 5
"""Standard deviations of a share of the test samples by which guessing may miss its chance
level.
"""


def describes_itself(name: str) -> str | None:
    """It has a title of one line, kinds of dataset that there are, and metrics with titles and
    units.
    """
    task = tasks.get(name)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return f"its name has to be lower case, digits and '_'; it is {name!r}"
    texts = {"title": task.title} | {
        f"title of {measure.name}": measure.title for measure in task.metrics
    }
    for key, text in texts.items():
        if not text or "\n" in text:
            return f"`{key}` has to be one line of text; it is {text!r}"
    if not task.kinds or not set(task.kinds) <= set(made_up.DATASETS):
        return f"`kinds` is {task.kinds}; legal: {', '.join(made_up.DATASETS)}"
    if len(task.measures) != len(task.metrics) or not task.metrics:
        return (
            "`metrics` has to name each metric once; it has"
            f" {[measure.name for measure in task.metrics]}"
        )
    wrong = [measure.name for measure in task.metrics if measure.unit not in RANGES]
    return f"units of {', '.join(wrong)} are not among {', '.join(RANGES)}" if wrong else None


def obeys_settings_that_there_are(name: str) -> str | None:
    """`obeys` names places in the evaluation section."""
    for place in tasks.get(name).obeys:
        section = EVALUATION.model_dump()
        for part in place.split("."):
            if part not in section:
                return (
                    f"`obeys` names '{place}', and there is no '{part}' in it; legal:"
                    f" {', '.join(section)}"
                )
            section = section[part] if isinstance(section[part], dict) else {}
    return None


def is_declared_without_torch(name: str) -> str | None:
    """Reading what it declares does not import torch, which a plan of many jobs would wait for."""
    code = (
        f"import sys; from kbench import tasks; tasks.get({name!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return (
        "its file imports torch; import it where it is used"
        if done.stdout.strip() == "True"
        else None
    )


def finds_what_it_declares(name: str) -> str | None:
    """Its values are those of its metrics: all, no other, each finite or None, in the range of
    their units.
    """
    for kind, outcome in _outcomes(name):
        declared = tasks.get(name).measures
        if set(outcome.values) != set(declared):
            return (
                f"on {kind} it finds {', '.join(outcome.values)} and declares {', '.join(declared)}"
            )
        for metric, measure in declared.items():
            low, high = RANGES[measure.unit]
            value = outcome.average(metric).value
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                return (
                    f"on {kind} {metric} is {value:g}; {measure.unit} lie between {low} and {high}"
                )
    return None


def finds_the_same_twice(name: str) -> str | None:
    """Scoring again gives the same values and the same arrays."""
    for (kind, one), (_, other) in zip(_outcomes(name), _outcomes(name), strict=True):
        if one.values != other.values:
            return f"on {kind} it finds {one.values} and then {other.values}"
        differing = [
            key for key in one.arrays if not np.array_equal(one.arrays[key], other.arrays.get(key))
        ]
        if differing:
            return f"on {kind} it keeps other arrays when scoring again: {', '.join(differing)}"
    return None


def keeps_samples_whose_mean_is_the_metric(name: str) -> str | None:
    """Where a metric declares scores of single samples, there are as many as samples and their mean
    is its value.
    """
    for kind, outcome in _outcomes(name):
        for metric, measure in tasks.get(name).measures.items():
            if measure.samples is None:
                continue
            if missing := measure.needs - outcome.arrays.keys():
                return (
                    f"on {kind} {metric} needs the arrays {', '.join(sorted(missing))}, which are"
                    " not kept"
                )
            scores, value = measure.samples(outcome.arrays), outcome.average(metric).value
            if not measure.in_batches and len(scores) != outcome.n_test:
                return (
                    f"on {kind} {metric} has {len(scores)} scores of single samples, of"
                    f" {outcome.n_test}"
                )
            mean = float(np.mean(scores))
            if value is not None and abs(mean - value) > 1e-6:
                return (
                    f"on {kind} the scores behind {metric} have the mean {mean:.6g}, its value is"
                    f" {value:.6g}"
                )
    return None


def guesses_at_chance(name: str) -> str | None:
    """Where it knows what guessing scores, features without information score it."""
    for kind in tasks.get(name).kinds:
        with made_up.features(kind) as (run, dataset, features):
            outcome = _score(name, run, features)
        for metric, measure in tasks.get(name).measures.items():
            chance, value = measure.chance(dataset), outcome.average(metric).value
            if chance is None or value is None:
                continue
            sd = math.sqrt(chance * (1 - chance) / outcome.n_test)
            if abs(value - chance) > SDS * sd + 1e-12:
                return (
                    f"on {kind} features without information score {value:.4f} in {metric};"
                    f" guessing is said to score {chance:.4f}, with a standard deviation of"
                    f" {sd:.4f}"
                )
    return None


def leaves_features_as_they_are(name: str) -> str | None:
    """The stored features, which other tasks read, are not changed."""
    for kind in tasks.get(name).kinds:
        with made_up.features(kind) as (run, _, features):
            _score(name, run, features)
            changed = [
                array
                for array, digest in features.hashes.items()
                if files.sha256(features.folder / f"{array}.npy") != digest
            ]
        if changed:
            return f"on {kind} it writes to the features {', '.join(changed)}"
    return None


CHECKS = (
    describes_itself,
    obeys_settings_that_there_are,
    is_declared_without_torch,
    finds_what_it_declares,
    finds_the_same_twice,
    keeps_samples_whose_mean_is_the_metric,
    guesses_at_chance,
    leaves_features_as_they_are,
)


def _outcomes(name: str) -> Iterator[tuple[str, Outcome]]:
    """Yield (kind of dataset, what the task finds on made-up features of it)."""
    for kind in tasks.get(name).kinds:
        with made_up.features(kind) as (run, _, features):
            yield kind, _score(name, run, features)


def _score(name: str, run: made_up.TrainedRun, features: made_up.Reader) -> Outcome:
    import torch

    with torch.inference_mode():
        return tasks.get(name).score(run, features, EVALUATION, device="cpu")
