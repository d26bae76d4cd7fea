"""Puts the report together: which sections there are and what each holds."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from kbench import __version__, forked, tasks
from kbench.document.numbers import heading
from kbench.document.parts import Figure, ReportSection, Table
from kbench.records.documents import ModelCard
from kbench.report import (
    along,
    answer,
    crossing,
    datasets,
    dimension,
    downstream,
    footnotes,
    opening,
    plots,
    primary,
    published,
    robustness,
    scores,
    tables,
    tuning,
    weights,
)
from kbench.report.analysis import Analysis
from kbench.report.opening import KeyNumber
from kbench.results import jobs, looks, outliers, samples
from kbench.results.pairs import Comparison
from kbench.tasks.base import Part


@dataclass(frozen=True)
class Run:
    """A run with what reproduces it and what it was made with."""

    name: str
    group: str
    facts: dict[str, str]
    command: str
    config: dict


@dataclass(frozen=True)
class Report:
    """All content of a report."""

    name: str
    description: str
    version: str
    answer: list[str]
    opening: Figure | None
    numbers: list[KeyNumber]
    warnings: list[str]
    sections: list[ReportSection]
    deviations: list[str]
    missing: Table | None
    results: Table
    provenance: dict[str, str]
    runs: list[Run]


MANY = 5000
"""Results of which a report takes so long that a second process is worth its start."""


@dataclass(frozen=True)
class TaskPart:
    """What is computed of a task's scores of single samples, which are read for it alone."""

    section: ReportSection
    comparisons: list[Comparison]
    each: list[Comparison]  # of every column by itself, where there are several
    variance: Table


def build(analysis: Analysis, figures: bool = True) -> Report:
    """Return the report of an experiment's analysis; plots can be left out."""
    record = analysis.store.experiment
    first, others = analysis.tasks[:1], analysis.tasks[1:]
    aside = partial(_parts, analysis, others, figures)
    if len(analysis.store.results) >= MANY:
        aside = forked.begin(aside)
    parts = _parts(analysis, first, figures)
    results = scores.all_results(analysis)
    parts |= aside()
    analysis.compared |= {task: part.comparisons for task, part in parts.items()}
    sections = [
        primary.section(analysis),
        dimension.section(analysis, figures),
        *(part.section for part in parts.values()),
        robustness.section(analysis, figures),
        along.section(analysis, figures),
        downstream.section(analysis, figures),
        tuning.section(analysis),
        _pairs(analysis, parts, figures),
        _variance(analysis, parts, figures),
        crossing.section(analysis),
        _cost(analysis, figures),
        weights.section(analysis, figures),
        _published(analysis),
    ]
    return Report(
        name=record.name,
        description=record.description,
        version=__version__,
        answer=_answer(analysis),
        opening=opening.figure(analysis) if figures else None,
        numbers=opening.numbers(analysis),
        warnings=_warnings(analysis),
        sections=[section for section in sections if section],
        deviations=record.deviations,
        missing=tables.missing_table(analysis),
        results=results,
        provenance=_provenance(analysis),
        runs=[_run(analysis, run) for run in record.runs],
    )


def _answer(analysis: Analysis) -> list[str]:
    if not analysis.tasks:
        return [answer.nothing(analysis)]
    order = dimension.sentence(analysis) if analysis.lines else answer.order(analysis)
    asked = primary.sentence(analysis)
    exploratory = [
        order,
        answer.certainty(analysis),
        *answer.of_another_kind(analysis),
        answer.ranking(analysis),
    ]
    return [asked, *exploratory] if asked else exploratory


def _warnings(analysis: Analysis) -> list[str]:
    store = analysis.store
    warnings = []
    if store.experiment.experiment.get("evaluation", {}).get("synthetic"):
        warnings.append(
            "Smoke run: tiny towers, a few steps and synthetic data. No number here means anything."
        )
    if store.missing:
        warnings.append(
            f"Partial: {len(store.missing)} of {store.expected} results are missing; they are"
            " listed below."
        )
    warnings += [*_trained_on_what_is_scored(analysis), *store.mixture_notes]
    warnings += [said for said in (looks.warning(store),) if said]
    warnings += _standing_out(analysis)
    if store.stale:
        warnings.append(f"Left out, as no longer part of the experiment: {', '.join(store.stale)}.")
    return warnings


def _standing_out(analysis: Analysis) -> list[str]:
    """Return a warning for each task and variant whose trainings are much further apart than the
    others'.
    """
    return [
        f"{spread.group}'s seeds in {tasks.title(task)} are {spread.times:.0f} times as far apart"
        f" as the others' (median): {spread.failed} of its {spread.trainings} trainings failed"
        f" ({100 * spread.failed / spread.trainings:.0f} %, 95 % interval"
        f" {100 * spread.interval[0]:.0f} to {100 * spread.interval[1]:.0f} %). Tests and intervals"
        " are made for normal spread."
        for task in analysis.tasks
        for spread in outliers.standing_out(analysis.scores, analysis.columns(task))
    ]


def _trained_on_what_is_scored(analysis: Analysis) -> list[str]:
    """Return a warning for each imported model, or variant that started from one, and each set that
    is in the model's declared data.
    """
    declared = {
        run: set(map(_letters, _declared(card, analysis.store.config(run))))
        for run, card in analysis.store.cards.items()
    }
    scored = {
        (result.variant, result.dataset)
        for result in analysis.store.results
        if _letters(result.dataset) in declared.get(result.run, ())
    }
    return [
        f"{variant} was trained on {dataset}, as its authors declare: its scores there are not"
        " those of unseen data."
        for variant, dataset in sorted(scored)
    ]


def _declared(card: ModelCard, config: dict) -> list[str]:
    """Return the training data of the imported model that a run is of or started from."""
    return card.imported.data if card.imported else (config.get("start") or {}).get("data", [])


def _letters(name: str) -> str:
    """Return a dataset's name as it is compared: CIFAR-10 is cifar10."""
    return re.sub("[^a-z0-9]", "", name.lower())


def _parts(analysis: Analysis, among: list[str], figures: bool) -> dict[str, TaskPart]:
    return {task: _part(analysis, task, figures) for task in among}


def _part(analysis: Analysis, task: str, figures: bool) -> TaskPart:
    columns = analysis.columns(task)
    compared = analysis.comparisons(task)
    each = analysis.pairs.on_each(columns) if compared and len(columns) > 1 else []
    return TaskPart(
        _scores(analysis, task, figures), compared, each, tables.variance_table(analysis, task)
    )


def _scores(analysis: Analysis, task: str, figures: bool) -> ReportSection:
    declared, columns = tasks.find(task), analysis.columns(task)
    part = (
        declared.part(samples.kept(analysis.store, task, analysis.groups)) if declared else Part()
    )
    title = (declared and declared.section) or heading(tasks.title(task))
    alone = (declared and declared.figure) or title
    together = len(columns) > 1 and not (declared and declared.figure)
    drawn = []
    if figures:
        first = (
            plots.scores(analysis, task) if together else plots.single(analysis, columns[0], alone)
        )
        drawn = [first, *(plots.of_task(analysis, figure) for figure in part.figures)]
    together_tables, together_figures = datasets.parts(analysis, task, figures)
    tables = footnotes.added(
        analysis, task, [*scores.score_tables(analysis, task), *together_tables]
    )
    return ReportSection(
        task,
        title,
        list(declared.about) if declared else [],
        [*drawn, *together_figures],
        [*tables, *part.tables],
    )


def _pairs(analysis: Analysis, parts: dict[str, TaskPart], figures: bool) -> ReportSection | None:
    compared = [task for task in analysis.tasks if analysis.comparisons(task)]
    if not compared:
        return None
    shown = [task for task in compared if task == compared[0] or _shows_pairs(task)]
    tested = [task for task in shown if any(pair.estimate for pair in analysis.told(task))]
    return ReportSection(
        "pairs",
        "Comparisons",
        [
            primary.OTHERS if analysis.question else primary.EXPLORATORY,
            *(answer.pair_sentence(pair) for pair in analysis.told(compared[0])),
        ],
        [plots.of_pairs(analysis, task) for task in tested if figures],
        [
            table
            for task in shown
            for table in footnotes.added(
                analysis, task, [tables.comparison_table(task, analysis.comparisons(task))]
            )
        ],
        [
            tables.comparison_table(task, analysis.comparisons(task))
            for task in compared
            if task not in shown
        ]
        + [
            tables.comparison_details(task, parts[task].each)
            for task in compared
            if parts[task].each
        ],
    )


def _shows_pairs(task: str) -> bool:
    declared = tasks.find(task)
    return declared is not None and declared.pairs_shown


def _variance(
    analysis: Analysis, parts: dict[str, TaskPart], figures: bool
) -> ReportSection | None:
    if not analysis.tasks:
        return None
    plotted = [plots.variance(analysis, analysis.tasks[0])] if figures else []
    return ReportSection(
        "variance",
        "Variance",
        [
            "Standard deviation of one run's score, root mean square over datasets, by source:"
            " components of a crossed analysis of variance of seeds and images. Training seed:"
            " between trainings, without what is drawn or due to single images. Seed and image"
            " together: which of the images a training gets right. Random features: between draws"
            " for one trained model; a dash where there are none. Test images: by their choice;"
            " binomial where scores of single images are not stored, and of one seed with the"
            " second source in it."
        ],
        plotted,
        [part.variance for part in parts.values()],
    )


def _cost(analysis: Analysis, figures: bool) -> ReportSection | None:
    if not analysis.store.cards:
        return None
    curves = plots.loss_curves(analysis) if figures else None
    return ReportSection(
        "cost", "Cost", [], [curves] if curves else [], [tables.cost_table(analysis)]
    )


def _published(analysis: Analysis) -> ReportSection:
    return ReportSection(
        "published",
        "Published",
        [
            "A published number is compared only where nothing that its source states contradicts"
            " the experiment: corpus, backbone, objective, epochs, checkpoint selection, metric,"
            " unit, split, test images, resolution and prompts."
        ],
        tables=published.tables(analysis.verdicts, analysis.claims),
        details=[published.every_cell(analysis.verdicts)],
    )


def _provenance(analysis: Analysis) -> dict[str, str]:
    store = analysis.store
    measured = [result.provenance for result in store.results]
    trained = list(store.cards.values())
    if not measured and not trained:
        return {}
    datasets = {result.dataset: result.provenance.dataset_sha256 for result in store.results}
    facts = {
        "reproduce with": jobs.whole(store.folder),
        "code, training": _distinct(card.code_version for card in trained),
        "code, evaluation": _distinct(entry.code_version for entry in measured),
        "torch": _distinct(
            [card.torch_version for card in trained] + [entry.torch_version for entry in measured]
        ),
        "container image": _distinct(
            entry.image_digest or "none, run on the host" for entry in [*measured, *trained]
        ),
        "machine": _distinct(entry.machine for entry in [*measured, *trained]),
        "device": _distinct(entry.device for entry in [*measured, *trained]),
    }
    taken = [f"{card.run} from {card.taken_from}" for card in trained if card.taken_from]
    if taken:
        facts["runs taken over, not trained here"] = ", ".join(taken)
    corpus = store.corpus()
    if corpus is not None:
        facts["corpus"] = "; ".join(line.strip() for line in corpus.summary())
    return facts | {f"data of {name}": f"SHA-256 {sha}" for name, sha in datasets.items()}


def _run(analysis: Analysis, run: str) -> Run:
    store = analysis.store
    card = store.cards.get(run)
    facts = {"state": "not trained yet"}
    if card:
        facts = {
            **_training(card),
            **_start(store.config(run).get("start")),
            "logit scale": f"{card.logit_scale:.2f}",
            "configuration": card.config_hash,
            "checkpoint": f"SHA-256 {card.checkpoint_sha256}",
            "torch": card.torch_version,
        }
    return Run(
        run,
        str(analysis.groups.get(run, "")),
        facts,
        jobs.evaluate(store.folder, run),
        store.config(run),
    )


def _training(card: ModelCard) -> dict[str, str]:
    if card.imported:
        origin = card.imported
        return {
            "imported from": origin.source,
            "weights file": f"{origin.file}, SHA-256 {origin.file_sha256}",
            "licence": origin.licence or "not declared",
            "trained on": ", ".join(origin.data) or "not declared",
        }
    return {
        "final loss": f"{card.final_loss:.4f} nats",
        "pairs seen": f"{card.samples:,}",
        "training": f"{card.seconds:.1f} s on {card.device}",
    }


def _start(begun: dict | None) -> dict[str, str]:
    """Return what a run's page says of the model that it started from."""
    if begun is None:
        return {}
    weights = f"SHA-256 {begun['sha256']}" if begun["sha256"] else "drawn, of a smoke run"
    frozen = ", ".join(begun["frozen"])
    return {
        "started from": f"{begun['model']}, {weights}",
        "frozen": f"tower of {frozen}" if frozen else "nothing",
        "which was trained on": ", ".join(begun["data"]) or "not declared",
    }


def _distinct(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or "–"
