"""Fair tuning: every variant tries the same number of settings and keeps the one of the lowest
held-out loss.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kbench import files
from kbench.errors import UserError, unknown
from kbench.experiment.schema import Experiment, RunConfig, Training, Variant
from kbench.seeds import derive

NOT_COMPARABLE = {
    "batch_size": "the loss is over as many captions as a batch has",
    "micro_batch_size": "it changes no loss but the memory",
    "epochs": "a longer training is another budget; say `tuning.epochs`",
    "selection": "it says which weights the loss is of",
    "test_column": "it is chosen by the loss, and looks at what is reported",
    "keep": "it changes no loss",
}
"""Training keys that no grid may have, and why."""


FOLDER = "search"
"""Where the runs of a search lie in an experiment's results, as the reported ones do in runs/."""


@dataclass(frozen=True)
class Trial:
    """One point of a variant's search: the values tried and the run that tries them."""

    variant: Variant
    values: dict[str, Any]
    config: RunConfig


def is_trial(run: Path) -> bool:
    """Return whether a run's folder is one of a search: there, that a training diverges is its
    result.
    """
    return run.absolute().parent.name == FOLDER


def points(
    experiment: Experiment, variant: Variant, settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the points that a variant tries: as many for each variant, drawn without replacement
    from its grid.

    A key of the grid is one of `training` or a setting of the similarity, and is left out for
    variants without it. Raises UserError for a key that no variant has.
    """
    tuning = experiment.tuning
    mine = {
        key: values
        for key, values in tuning.grid.items()
        if key in Training.model_fields or key in settings
    }
    grid = [
        dict(zip(mine, combination, strict=True))
        for combination in itertools.product(*mine.values())
    ]
    if tuning.trials > len(grid):
        raise UserError(
            f"tuning.trials {tuning.trials}: the grid of variant '{variant.name}' has only"
            f" {len(grid)} points, and every variant gets the same budget"
        )
    seed = derive("tuning", tuning.first_seed(variant), variant.similarity)
    order = np.random.default_rng(seed).permutation(len(grid))
    return [grid[index] for index in sorted(order[: tuning.trials])]


def check_keys(experiment: Experiment, settings: list[dict[str, Any]]) -> None:
    """Raise UserError for a key of the grid that is neither a training key nor a setting of any
    variant.
    """
    legal = (set(Training.model_fields) - set(NOT_COMPARABLE)).union(*settings)
    for key in experiment.tuning.grid:
        if key in NOT_COMPARABLE:
            raise UserError(
                f"tuning.grid: held-out losses at different values of '{key}' cannot be compared:"
                f" {NOT_COMPARABLE[key]}"
            )
        if key not in legal:
            raise unknown("key of tuning.grid", key, legal)


def choose(trials: list[Trial], search: Path, rule: str) -> dict[str, Any]:
    """Return what tuning.json holds: for each variant all that was tried and what is chosen, the
    lowest mean loss over seeds, the first of equal ones.

    A training that diverged has an infinite loss. Raises UserError if a trial has no card or no
    held-out loss, or if every setting of a variant diverged.
    """
    points: dict[tuple, list[Trial]] = {}
    for trial in trials:
        key = (trial.variant.name, files.canonical_hash(trial.values))
        points.setdefault(key, []).append(trial)
    variants: dict[str, Any] = {}
    for (name, _), members in points.items():
        entry = variants.setdefault(name, {"chosen": None, "tried": []})
        entry["tried"].append(_tried(members, search))
    for name, entry in variants.items():
        sound = [tried for tried in entry["tried"] if tried["held_out_loss"] is not None]
        if not sound:
            raise UserError(
                f"every one of the {len(entry['tried'])} settings that {name} tried diverged: give"
                " the grid others, such as a lower learning_rate"
            )
        entry["chosen"] = min(sound, key=lambda tried: tried["held_out_loss"])["values"]
    return {"rule": rule, "variants": variants}


def _tried(trials: list[Trial], search: Path) -> dict[str, Any]:
    """Return what was tried at one point, at one seed or several, and its loss; None if a training
    diverged.
    """
    losses = {trial.config.run: _loss(trial, search) for trial in trials}
    known = None not in losses.values()
    return {
        "values": trials[0].values,
        "held_out_loss": float(np.mean(list(losses.values()))) if known else None,
        "run": trials[0].config.run,
        "runs": losses if len(losses) > 1 else {},
    }


def _loss(trial: Trial, search: Path) -> float | None:
    """Return a trial's held-out loss, None if it diverged; UserError if neither is known."""
    path = search / trial.config.run / "model.json"
    card = files.read_json(path)
    loss, diverged = card.get("held_out_loss"), card.get("diverged")
    if card.get("config_hash") != trial.config.hash or (loss is None and diverged is None):
        raise UserError(f"{path} is of another configuration or has no held-out loss")
    return None if diverged else loss
