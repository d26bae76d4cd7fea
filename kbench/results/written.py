"""Every JSON document below results/EXPERIMENT/, with the schema that it obeys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel, Field

from kbench.corpus.manifest import Manifest
from kbench.experiment.schema import Evaluation, RunConfig
from kbench.records import documents
from kbench.records.documents import Record


class FrozenEvaluation(Record):
    """What every trained model is scored on, frozen when a run starts."""

    experiment: str = Field(description="name of the experiment")
    evaluation: Evaluation = Field(
        description="the experiment file's section, every default written out"
    )


class Table(documents.Versioned):
    """The tidy table, as table.csv has it too."""

    experiment: str = Field(description="name of the experiment")
    rows: list[dict] = Field(
        description=(
            "one a run, dataset, task and metric: keys of a result, of one metric and of its"
            " provenance, and status (measured, undefined, missing), job (what makes a missing"
            " one), n_draws"
        )
    )


@dataclass(frozen=True)
class Document:
    """A kind of document: where it lies, capitals standing for any name, and its schema."""

    path: str
    schema: type[BaseModel]

    def matches(self, path: str) -> bool:
        """Return whether a path below results/EXPERIMENT/ is of this kind."""
        pattern = re.sub(r"[A-Z]{2,}", "[^/]+", re.escape(self.path))
        return re.fullmatch(pattern, path) is not None

    def listing(self) -> Iterator[tuple[str, str]]:
        """Yield every key and what it means; those of parts that have a schema of their own follow
        their part's.
        """
        yield from _keys(self.schema)


DOCUMENTS = (
    Document("experiment.json", documents.ExperimentRecord),
    Document("evaluation.json", FrozenEvaluation),
    Document("corpus.json", Manifest),
    Document("runs/RUN/config.json", RunConfig),
    Document("runs/RUN/metrics.jsonl", documents.LogEntry),
    Document("runs/RUN/model.json", documents.ModelCard),
    Document("runs/RUN/encoded.json", documents.Encoded),
    Document("runs/RUN/parts/DATASET/PART.json", documents.EncodedPart),
    Document("runs/RUN/parts/DATASET/PART/features.json", documents.FeatureRecord),
    Document("runs/RUN/features/DATASET/features.json", documents.FeatureRecord),
    Document("runs/RUN/evaluated.json", documents.Evaluated),
    Document("runs/RUN/evaluation/DATASET/TASK.json", documents.TaskResult),
    Document("runs/RUN/code/HASH.json", documents.CodeRecord),
    Document("runs/RUN/environments/HASH.json", documents.EnvironmentRecord),
    Document("tuning.json", documents.TuningRecord),
    Document("looks.json", documents.Looks),
    Document("table.json", Table),
)
"""search/RUN/ holds what runs/RUN/ does, and so does runs/RUN/intermediate/STEP/ of weights that
were kept on the way; metrics.jsonl has one document a line.
"""


def markdown() -> str:
    """Return the documents and their keys as results/README.md shows them."""
    lines = []
    for document in DOCUMENTS:
        lines += ["", f"### {document.path}", "", _sentence(document.schema), ""]
        lines += [f"- `{key}`: {meaning}" for key, meaning in document.listing()]
    return "\n".join(lines[1:]) + "\n"


def _sentence(schema: type[BaseModel]) -> str:
    return " ".join((schema.__doc__ or "").partition("\n\n")[0].split())


def _keys(schema: type[BaseModel], before: str = "") -> Iterator[tuple[str, str]]:
    for name, field in schema.model_fields.items():
        inner = _model_of(field.annotation)
        yield before + name, field.description or (_sentence(inner) if inner else "")
        if inner is not None:
            yield from _keys(inner, f"{before}{name}.")


def _model_of(annotation: object) -> type[BaseModel] | None:
    """Return the one schema that occurs in a type such as list[Metric] or Crop | None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = [model for part in getattr(annotation, "__args__", ()) if (model := _model_of(part))]
    return models[0] if len(models) == 1 else None
