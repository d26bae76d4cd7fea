"""Writes a site's files."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from kbench import __version__, files
from kbench.document.parts import slug
from kbench.errors import UserError
from kbench.report import render
from kbench.report.analysis import Analysis
from kbench.results import bundle, store, table
from kbench.site.pages import Experiment, Page

TEMPLATES = Path(__file__).parent / "templates"
MARK = "site.json"
"""In every site: tells a folder that may be replaced, and lists the pages for the search."""


def read(folders: Sequence[Path]) -> list[Experiment]:
    """Read and analyse experiments; UserError if two are of one name, or one cannot be read."""
    experiments: dict[str, Experiment] = {}
    for folder in folders:
        loaded = store.shown(folder)
        name = slug(loaded.experiment.name)
        if name in experiments:
            raise UserError(
                f"{folder} is of experiment {loaded.experiment.name}, which is there already:"
                " `kbench merge` pools results of one experiment"
            )
        experiments[name] = Experiment.of(Analysis(loaded, table.frame(loaded)))
    return list(experiments.values())


def write(
    experiments: Sequence[Experiment], pages: Sequence[Page], output: Path, url: str | None
) -> None:
    """Write the site, whole or not at all, in the place of an earlier one.

    url: where it will be found, which a feed needs. UserError if the folder holds anything else, or
    cannot be written.
    """
    if output.exists() and not (output / MARK).is_file() and any(output.iterdir()):
        raise UserError(f"{output} is not empty, and no site of kbench: choose another folder")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            _fill(made, experiments, pages, url)
            made.chmod(0o777 & ~files.umask())
            if output.exists():
                shutil.rmtree(output)
            made.replace(output)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise files.unwritable(output, error) from error


def _fill(
    folder: Path, experiments: Sequence[Experiment], pages: Sequence[Page], url: str | None
) -> None:
    for experiment in experiments:
        _write_experiment(folder, experiment)
    environment = render.html_environment(TEMPLATES)
    environment.filters["moment"] = _moment
    reports = [(one.path, "Experiments", one.report.name) for one in experiments]
    linked = [(page.path, page.kind, page.title) for page in pages if page.kind] + reports
    for page in pages:
        text = environment.get_template("page.html.j2").render(
            page=page,
            linked=linked,
            feed=bool(url),
            version=__version__,
            **render.inlined(TEMPLATES / "site.js"),
        )
        _write(folder / page.path, text)
    if url:
        feed = environment.get_template("feed.xml.j2")
        latest = sorted(experiments, key=lambda one: one.updated, reverse=True)
        _write(folder / "feed.xml", feed.render(experiments=latest, title=pages[0].title, url=url))
    _write(folder / MARK, json.dumps({"kbench": __version__, "pages": linked}, indent=2) + "\n")


def _write_experiment(folder: Path, experiment: Experiment) -> None:
    """Write an experiment's report, its table and, where there is more than a table, its bundle, of
    which all can be made again.
    """
    place = (folder / experiment.path).parent
    _write(place / "index.html", render.html(experiment.report, home="../../index.html"))
    experiment.analysis.table.to_csv(place / "table.csv", index=False)
    store = experiment.analysis.store
    packed = store.folder / bundle.NAME
    if store.unpacked and packed.is_file():
        shutil.copyfile(packed, place / bundle.NAME)
    elif (store.place / "experiment.json").is_file():
        bundle.write(store.place, place / bundle.NAME)


def _moment(updated: str) -> str:
    """Return when results were written as Atom wants it; the beginning of time where no result says
    so.
    """
    moment = datetime.fromisoformat(updated) if updated else datetime.fromtimestamp(0, UTC)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
