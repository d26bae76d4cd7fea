"""Whether the results of an experiment were made by code that agrees, stage by stage, and what
mends it if not.

Code agrees where the modules that two results share are the same; what one of them alone used, such
as the file of its variant, may differ. Results of kbench 0.1.0 name their code by a version of the
whole only, which must then be one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kbench.identity import code
from kbench.identity.code import Code
from kbench.identity.stages import Stages
from kbench.records.documents import ModelCard, TaskResult
from kbench.results import jobs

NAMED = 6
"""Modules that a message names at most."""


class Made(NamedTuple):
    """What a document says of the code of one stage: the run it belongs to, the hash if any, and
    the version.
    """

    run: str
    hash: str | None
    version: str


@dataclass(frozen=True)
class Disagreement:
    """A stage whose results were made by code that does not agree, in one sentence, and the command
    that mends it.
    """

    stage: str
    sentence: str
    remedy: str


def disagreements(
    folder: Path, results: Sequence[TaskResult], cards: Mapping[str, ModelCard]
) -> list[Disagreement]:
    """Return the stages that disagree, the earliest first. UserError if a record of code is missing
    or damaged.
    """
    trained = [Made(card.run, card.training_code, card.code_version) for card in cards.values()]
    stages = {"training": trained}
    for stage in ("features", "task"):
        stages[stage] = [
            Made(
                result.run,
                getattr(result.provenance, f"{stage}_code"),
                result.provenance.code_version,
            )
            for result in results
        ]
    apart = (
        _disagreement(folder, stage, list(dict.fromkeys(made))) for stage, made in stages.items()
    )
    return [disagreement for disagreement in apart if disagreement]


def _disagreement(folder: Path, stage: str, made: list[Made]) -> Disagreement | None:
    named = {one.hash: one.run for one in made if one.hash}
    unnamed = [one for one in made if one.hash is None]
    versions = sorted({one.version for one in unnamed})
    # One code over all results is the usual case, in which no record has to be read.
    several = len(named) + len(versions) > 1
    codes = {
        digest: code.read(folder / "runs" / run, digest) for digest, run in named.items() if several
    }
    changed = code.conflicts(codes.values())
    if not changed and len(versions) < 2 and not (unnamed and named):
        return None
    return Disagreement(
        stage, _sentence(stage, changed, made, codes), _remedy(folder, stage, made, codes)
    )


def _sentence(stage: str, changed: list[str], made: list[Made], codes: Mapping[str, Code]) -> str:
    """Return what differs between which runs."""
    unnamed = [one for one in made if one.hash is None]
    if unnamed:
        versions = ", ".join(sorted({one.version for one in unnamed}))
        told = [one.run for one in made if one.hash]
        against = f"that of {_runs(told)} by code that can" if told else "of several versions"
        runs = _runs(one.run for one in unnamed)
        return (
            f"the {stage} of {runs} was made by code that cannot be told module by module"
            f" ({versions}), {against}"
        )
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    sides: dict[tuple, list[str]] = {}
    for one in made:
        modules = codes[one.hash].modules
        # Sides are told by what they share, so that each variant's own file makes no side.
        side = tuple(modules.get(module) for module in changed)
        sides.setdefault(side, []).append(one.run)
    named = " and ".join(_runs(runs) for runs in sides.values())
    return f"{', '.join(changed[:NAMED])}{more} differ between the {stage} of {named}"


def _runs(runs: Iterable[str]) -> str:
    names = list(dict.fromkeys(runs))
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _remedy(folder: Path, stage: str, made: list[Made], codes: Mapping[str, Code]) -> str:
    """Return the command that makes again those results that today's code would not have made."""
    stages = Stages()
    today = {digest for digest, one in codes.items() if stages.current(one)}
    runs = list(dict.fromkeys(one.run for one in made if one.hash not in today))
    return jobs.stage_again(folder, stage, runs)
