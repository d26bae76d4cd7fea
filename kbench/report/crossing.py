"""What trainings owe to one source of their randomness: a table for each that was crossed."""

from kbench import tasks
from kbench.document.numbers import heading
from kbench.document.parts import Cell, ReportSection, Table
from kbench.report.analysis import Analysis
from kbench.report.answer import difference_unit
from kbench.report.tables import with_ends
from kbench.results.crossing import Crossing, components, crossings

NAMES = {
    "initialisation": "first weights",
    "order": "order of pairs, captions and crops",
    "steps": "random features of the steps, dropout",
    "tuning": "settings that a search chose",
    "corpus": "pairs of the corpus, a bootstrap sample of it",
}


TOO_NEAR = (
    "An interval that ends at 0 is one of the rare ones that hold no spread at all: means at the"
    " seeds of this source are nearer to each other than all else would have them in 39 of 40"
    " experiments without any. It says that the source matters little, not that it does nothing."
)


def section(analysis: Analysis) -> ReportSection | None:
    """Return the section; None if no source was crossed with the others."""
    made = [
        _table(analysis, crossing, task)
        for crossing in crossings(analysis.store, analysis.groups)
        for task in analysis.tasks
    ]
    shown = [table for table in made if table]
    if not shown:
        return None
    return ReportSection(
        "crossing",
        "Sources of randomness",
        [
            "Variants that are the same but for the fixed seed of one source were trained at the"
            " same seeds of all others: what the scores of single trainings owe to each. Their"
            " groups share that seed, so that elsewhere on this page their intervals and tests hold"
            " for trainings with it alone."
        ],
        [],
        shown,
    )


def _table(analysis: Analysis, crossing: Crossing, task: str) -> Table | None:
    import numpy as np

    columns = analysis.columns(task)
    values = [analysis.scores.average(g, columns).values for g in crossing.groups.values()]
    seeds = sorted(set.intersection(*map(set, values)))
    if len(seeds) < 2:
        return None
    parts = components(np.array([[of[seed] for seed in seeds] for of in values]))
    sources = (NAMES[crossing.source], "everything else", "both together")
    rows = [
        [Cell(source), with_ends(part, columns[0].unit)]
        for source, part in zip(sources, parts, strict=True)
    ]
    first = next(iter(crossing.groups.values()))
    caption = (
        f"{heading(tasks.title(task))}, sd of one training in {difference_unit(columns[0])}:"
        f" {len(values)} seeds of {crossing.source} x {len(seeds)} of all else, {first} and others"
    )
    header = ["Source", "Standard deviation [95 % interval]"]
    notes = [TOO_NEAR] if any(part.high == 0 for part in parts) else []
    return Table(f"crossing-{crossing.source}-{task}-{first}", caption, header, rows, notes)
