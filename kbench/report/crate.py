"""A finished experiment as an RO-Crate: its results folder described by ro-crate-metadata.json.

RO-Crate 1.1 and the Process Run Crate profile 0.5: files, and which step made which from which.
"""

from collections.abc import Iterable
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from kbench.errors import UserError
from kbench.files import replacing
from kbench.report.analysis import Analysis
from kbench.results import inventory, jobs
from kbench.results.mixture import document_path

FILE = inventory.CRATE
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
EXPERIMENT = ("experiment.json", "evaluation.json", "corpus.json", "tuning.json", "looks.json")
SUMMARY = ("table.csv", "table.json", "report/index.html", "report/report.md", "report/report.tex")
TRAINED = ("model.safetensors", "model.json", "metrics.jsonl", "weights.npz")


def write(analysis: Analysis) -> Path:
    """Write ro-crate-metadata.json into the results folder and return its path; UserError if a
    result is missing.
    """
    store = analysis.store
    if store.unpacked is not None:
        raise UserError("a crate describes the files of a results folder; a bundle has few of them")
    if store.missing or not store.results:
        raise UserError(
            f"{store.folder} is not finished: {len(store.missing)} of {store.expected} results are"
            " missing. A crate describes a finished experiment; finish it with"
            f" {jobs.whole(store.folder)}"
        )
    crate = _Crate(store.folder)
    crate.describe(store.experiment.name, store.experiment.description)
    made = crate.files(EXPERIMENT)
    results = []
    for run in store.experiment.runs:
        config, trained = (
            crate.files([f"runs/{run}/config.json"]),
            crate.files(f"runs/{run}/{n}" for n in TRAINED),
        )
        results.append(_evaluated(crate, analysis, run))
        card, measured = (
            store.cards[run],
            next(result for result in store.results if result.run == run),
        )
        facts = {
            "description": (
                f"Pretrain {card.variant}, seed {card.seed}: {jobs.pretrain(store.folder, run)}"
            )
        }
        crate.step(f"pretrain-{run}", card.code_version, config + made, trained, facts)
        facts = {"description": f"Evaluate {run}: {jobs.evaluate(store.folder, run)}"}
        crate.step(
            f"evaluate-{run}",
            measured.provenance.code_version,
            trained[:1] + made,
            results[-1],
            facts,
        )
    summary = crate.files(SUMMARY)
    facts = {"description": f"Compare and report: {jobs.whole(store.folder)}"}
    code = store.results[0].provenance.code_version
    crate.step("report", code, [entry for entries in results for entry in entries], summary, facts)
    return crate.write()


def _evaluated(crate: "_Crate", analysis: Analysis, run: str) -> list[Entity]:
    store = analysis.store
    paths = [
        document_path(store.folder, run, r.dataset, r.task) for r in store.results if r.run == run
    ]
    both = [file for path in paths for file in (path, path.with_suffix(".npz"))]
    return crate.files(file.relative_to(store.folder).as_posix() for file in both)


class _Crate:
    """Builds the description of a folder; nothing in the folder is copied or changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.crate = ROCrate(version="1.1")

    def describe(self, name: str, description: str) -> None:
        """Say what the whole is."""
        self.crate.name = f"kbench experiment {name}"
        self.crate.description = description
        self.crate.license = inventory.LICENSE
        profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        self.crate.root_dataset["conformsTo"] = self.crate.add(
            ContextEntity(self.crate, PROFILE, profile)
        )

    def files(self, names: Iterable[str]) -> list[Entity]:
        """Return the entities of those of the named files that are there."""
        return [self._file(name) for name in names if (self.folder / name).is_file()]

    def step(
        self, name: str, version: str, used: list[Entity], made: list[Entity], facts: dict[str, str]
    ) -> None:
        """Say that kbench made some files from others."""
        properties = {"@type": "CreateAction", "name": name, "actionStatus": _COMPLETED, **facts}
        action = self.crate.add_action(self._software(version), f"#{name}", used, made, properties)
        self.crate.root_dataset.append_to("mentions", action)

    def write(self) -> Path:
        """Write the metadata whole or not at all."""
        path = self.folder / FILE
        with replacing(path) as temporary:
            self.crate.metadata.write(temporary.parent)
            (temporary.parent / FILE).replace(temporary)
        return path

    def _file(self, name: str) -> Entity:
        known = self.crate.get(name)
        if known is not None:
            return known
        path = self.folder / name
        size, kind = str(path.stat().st_size), inventory.media_type(name)
        facts = {"name": name, "encodingFormat": kind, "contentSize": size}
        return self.crate.add_file(path, name, properties=facts)

    def _software(self, version: str) -> Entity:
        facts = {"@type": "SoftwareApplication", "name": "kbench", "softwareVersion": version}
        identity = f"#kbench-{version}"
        return self.crate.get(identity) or self.crate.add(
            ContextEntity(self.crate, identity, facts)
        )


_COMPLETED = "http://schema.org/CompletedActionStatus"
