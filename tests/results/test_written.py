"""results/README.md names every JSON document that a run leaves behind, and every key of it."""

import json

import pytest
from tiny import ROOT

from kbench.results import looks, table, written
from kbench.results.store import load


def documents(path):
    text = path.read_text()
    return (
        [json.loads(line) for line in text.splitlines()]
        if path.suffix == ".jsonl"
        else [json.loads(text)]
    )


@pytest.mark.whole
def test_every_document_of_finished_runs_obeys_the_schema_that_is_listed_for_it(
    trained, tiny_experiment
):
    results = tiny_experiment[1]
    loaded = load(results)
    table.write(loaded, table.frame(loaded))
    looks.note(loaded)
    seen = set()
    for path in (path for path in results.rglob("*.json*") if "tensorboard" not in path.parts):
        below = str(path.relative_to(results))
        kinds = [kind for kind in written.DOCUMENTS if kind.matches(below)]
        assert len(kinds) == 1, f"{below} is not listed, or twice"
        for document in documents(path):
            kinds[0].schema.model_validate(document)
        seen.add(kinds[0].path)
    # What the commands write when all is done, and what only a search has; those of large datasets
    # are looked at in tests/evaluate/test_parts.py.
    elsewhere = {"runs/RUN/encoded.json", "runs/RUN/evaluated.json", "tuning.json"}
    elsewhere |= {kind.path for kind in written.DOCUMENTS if "/parts/" in kind.path}
    assert seen | elsewhere == {kind.path for kind in written.DOCUMENTS}


def test_the_readme_has_what_the_schemas_say():
    assert (ROOT / "results" / "README.md").read_text().endswith(written.markdown())


@pytest.mark.parametrize("kind", written.DOCUMENTS, ids=lambda kind: kind.path)
def test_every_key_has_a_sentence(kind):
    assert [key for key, meaning in kind.listing() if not meaning] == []


@pytest.mark.parametrize(
    ("path", "below", "same"),
    [
        ("runs/RUN/model.json", "runs/cosine-s0-1234/model.json", True),
        ("runs/RUN/model.json", "runs/a/b/model.json", False),
        ("runs/RUN/evaluation/DATASET/TASK.json", "runs/r/evaluation/cifar10/zeroshot.json", True),
        ("table.json", "tableXjson", False),
    ],
)
def test_capitals_stand_for_any_name(path, below, same):
    assert written.Document(path, written.Table).matches(below) is same
