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


@dataclass(frozen=True)
class Trial:
    """One point of a variant's search: the values tried and the run that tries them."""

    variant: Variant
    values: dict[str, Any]
    config: RunConfig


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
    order = np.random.default_rng(derive("tuning", tuning.seed, variant.similarity)).permutation(
        len(grid)
    )
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
    """Return what tuning.json holds: for each variant all that was tried and what is chosen, lowest
    loss first come.

    Raises UserError if a trial has no card or no held-out loss.
    """
    variants: dict[str, Any] = {}
    for trial in trials:
        card = files.read_json(search / trial.config.run / "model.json")
        if card.get("held_out_loss") is None or card.get("config_hash") != trial.config.hash:
            raise UserError(
                f"{search / trial.config.run}/model.json is of another configuration or has no"
                " held-out loss"
            )
        entry = variants.setdefault(trial.variant.name, {"chosen": None, "tried": []})
        entry["tried"].append(
            {
                "values": trial.values,
                "held_out_loss": card["held_out_loss"],
                "run": trial.config.run,
            }
        )
    for entry in variants.values():
        entry["chosen"] = min(entry["tried"], key=lambda tried: tried["held_out_loss"])["values"]
    return {"rule": rule, "variants": variants}
