"""The shipped experiments can be compared with the tables that they set out to reproduce."""

from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import write, write_experiment

from kbench import tasks
from kbench.cli import main
from kbench.datasets import dataset as known_datasets
from kbench.evaluate.scoring import describe
from kbench.experiment import load
from kbench.plan import freeze
from kbench.results import comparable, importing, published, store
from kbench.results.verdicts import verdicts
from kbench.tasks.base import Outcome


def measured(experiment, folder, seeds=None):
    """Write made-up outcomes of an experiment's own frozen runs, as the evaluation writes them."""
    runs = load.resolve(experiment)
    freeze.freeze(experiment, runs, [], folder)
    for config in runs:
        if seeds is not None and config.seed not in seeds:
            continue
        card = SimpleNamespace(checkpoint_sha256=config.hash, device="cpu")
        run = SimpleNamespace(config=config, card=card, folder=folder / "runs" / config.run)
        for dataset in map(known_datasets.get, experiment.evaluation.datasets):
            identity = {
                "config_hash": config.hash,
                "checkpoint_sha256": config.hash,
                "image_digest": None,
            }
            identity |= {"dataset_sha256": dataset.name}
            for task in tasks.of(dataset, None):
                values = dict.fromkeys(tasks.get(task).measures, 0.4 + 0.001 * config.seed)
                result = describe(
                    run, dataset, task, experiment.name, Outcome(10_000, values), identity
                )
                path = folder / "runs" / config.run / "evaluation" / dataset.name / f"{task}.json"
                write(path, result.model_dump(mode="json"))
    return store.load(folder)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Imported numbers lie in the working directory, experiments too."""
    experiments = {name: load.load(name) for name in ("cc3m", "cc12m", "released")}
    monkeypatch.chdir(tmp_path)
    return experiments


@pytest.fixture(scope="module")
def cc12m(tmp_path_factory):
    """Made-up outcomes of the shipped experiment cc12m, all its seeds."""
    return measured(load.load("cc12m"), tmp_path_factory.mktemp("results") / "cc12m")


@pytest.mark.parametrize("name, cells", [("cc3m", 78), ("cc12m", 78)])
def test_the_shipped_experiments_meet_the_cells_of_the_paper(
    _elsewhere, cc12m, tmp_path, name, cells
):
    experiment = _elsewhere[name]
    rows = [row for row in published.of_source("wpse-paper") if row.corpus == name]
    loaded = cc12m if name == "cc12m" else measured(experiment, tmp_path / name)
    found = verdicts(loaded, rows)
    assert len(found) == cells
    assert {(verdict.status, verdict.reasons) for verdict in found} == {
        ("published value not imported", ())
    }
    assert comparable.plan(experiment, load.resolve(experiment), rows).comparable == tuple(rows)


def test_with_a_value_the_cell_of_the_paper_gets_a_real_verdict(cc12m):
    cell = next(row for row in published.of_source("wpse-paper") if row.corpus == "cc12m")
    # Made-up numbers, near ours and far from it.
    near = cell.model_copy(update={"value": 40.1, "n_test": 10_000, "table": "near"})
    far = cell.model_copy(update={"value": 60.0, "table": "far"})
    assert [verdict.status for verdict in verdicts(cc12m, [near, far])] == ["reproduced", "lower"]


def test_one_seed_of_three_is_inconclusive_and_said(_elsewhere, tmp_path):
    loaded = measured(_elsewhere["cc12m"], tmp_path / "cc12m", seeds=(0,))
    cell = next(row for row in published.of_source("wpse-paper") if row.corpus == "cc12m")
    [found] = verdicts(loaded, [cell.model_copy(update={"value": 90.0})])
    assert found.status == "inconclusive" and found.low is None
    assert "1 of 3 seeds present" in found.caveats


def test_a_margin_that_the_experiment_declares_decides(_elsewhere, cc12m, tmp_path):
    cell = next(row for row in published.of_source("wpse-paper") if row.corpus == "cc12m")
    row = cell.model_copy(update={"value": 42.0, "n_test": 10_000})
    wide = measured(_elsewhere["cc12m"].model_copy(update={"margin": 5.0}), tmp_path / "wide")
    statuses = [verdict.status for loaded in (cc12m, wide) for verdict in verdicts(loaded, [row])]
    assert statuses == ["lower", "reproduced"]


def test_a_choice_on_the_test_column_is_not_compared_with_a_source_that_states_none(cc12m):
    row = next(
        r
        for r in published.of_source("slip-readme")
        if (r.corpus, r.variant) == ("cc12m", "cosine")
    )
    [found] = verdicts(cc12m, [row])
    assert found.reasons == ("checkpoint selection not stated, here test-column",)


@pytest.mark.parametrize(
    "what, value, reason", [("image_size", 336, "resolution"), ("split", "val", "split")]
)
def test_what_the_source_states_must_not_contradict(cc12m, what, value, reason):
    cell = next(row for row in published.of_source("wpse-paper") if row.corpus == "cc12m")
    silent, stated = verdicts(cc12m, [cell, cell.model_copy(update={what: value})])
    assert reason in " ".join(silent.caveats) and not silent.reasons
    assert reason in " ".join(stated.reasons)


def test_objectives_are_never_pooled(cc12m):
    cell = next(row for row in published.of_source("wpse-paper") if row.corpus == "cc12m")
    # Seed 2 of the cosine variant was trained by the sigmoid loss, and is far better.
    results = tuple(
        (
            result.model_copy(
                update={
                    "objective": "sigmoid",
                    "metrics": [m.model_copy(update={"value": 0.9}) for m in result.metrics],
                }
            )
            if (result.variant, result.seed) == ("cosine", 2)
            else result
        )
        for result in cc12m.results
    )
    mixed = store.Store(**{**cc12m.__dict__, "results": results})
    infonce, sigmoid = verdicts(mixed, [cell, cell.model_copy(update={"objective": "sigmoid"})])
    assert (infonce.seeds, infonce.ours) == (2, pytest.approx(40.05))
    assert (sigmoid.seeds, sigmoid.ours) == (1, pytest.approx(90.0))
    assert "2 of 3 seeds present" in infonce.caveats


def test_tables_and_published_orders_are_of_one_objective_and_unit(tmp_path):
    """Every run of the sigmoid loss is turned round, so that pooling would hide both orders."""
    from kbench.report.analysis import Analysis
    from kbench.results import agreement, table

    folder = write_experiment(
        tmp_path / "made-up", {"cosine": -1.0, "filip": 3.0}, seeds=(0, 1, 2, 3), n_test=400
    )
    other = write_experiment(
        tmp_path / "other", {"cosine": 3.0, "filip": -1.0}, seeds=(4, 5, 6, 7), n_test=400
    )
    one, two = store.load(folder), store.load(other)
    turned = tuple(result.model_copy(update={"objective": "sigmoid"}) for result in two.results)
    loaded = store.Store(**{**one.__dict__, "results": one.results + turned})
    common = dict(
        source="made-up",
        url="https://example.org",
        table="t",
        corpus="world",
        backbone="demo",
        epochs=9.6,
    )
    rows = [
        published.PublishedRow(**common, **cell, variant=variant, value=value, objective=objective)
        for variant, value in (("cosine", 20.0), ("filip", 40.0))
        for objective in ("infonce", "sigmoid")
        for cell in (
            dict(dataset="world-shape", task="zeroshot", metric="acc1"),
            dict(dataset="world-pairs", task="pmi_gap", metric="excess_loss", unit="nats"),
        )
    ]
    found = verdicts(loaded, rows)
    overall = agreement.tables(found)
    assert len(overall) == 4 and {entry.cells for entry in overall} == {2}
    assert {(e.objective, e.unit) for e in overall} == {
        (objective, unit) for objective in ("infonce", "sigmoid") for unit in ("percent", "nats")
    }
    # Arrays of single images are those of one folder each: the orders are tested on values alone.
    frame = table.frame(loaded)
    analysis = Analysis(store.Store(**{**loaded.__dict__, "folder": tmp_path / "no-arrays"}), frame)
    claims = agreement.claims(found, analysis.scores, analysis.pairs)
    assert {(c.comparison.first, c.verdict) for c in claims} == {
        ("filip, infonce", "reproduced"),
        ("filip, sigmoid", "contradicted"),
    }


def test_nats_are_nats(tmp_path):
    loaded = store.load(write_experiment(tmp_path / "made-up", {"cosine": 0.0}, seeds=(0, 1, 2)))
    ours = [r.metrics[0].value for r in loaded.results if r.task == "pmi_gap"]
    common = dict(
        source="made-up",
        url="https://example.org",
        table="t",
        corpus="world",
        backbone="demo",
        epochs=9.6,
    )
    common |= dict(
        variant="cosine", dataset="world-pairs", task="pmi_gap", metric="excess_loss", value=1.8
    )
    nats, percent = verdicts(
        loaded,
        [
            published.PublishedRow(**common, unit="nats"),
            published.PublishedRow(**common, unit="percent"),
        ],
    )
    assert nats.ours == pytest.approx(np.mean(ours)) and nats.difference == pytest.approx(
        np.mean(ours) - 1.8
    )
    assert np.isfinite([nats.low, nats.high]).all() and nats.status == "lower"
    assert percent.reasons == ("unit percent, here nats",)


def test_fail_on_inconclusive(tmp_path, capsys):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 0.0}, seeds=(0,))
    common = dict(
        source="made-up",
        url="https://example.org",
        table="t",
        corpus="world",
        backbone="demo",
        epochs=9.6,
    )
    row = published.PublishedRow(
        **common,
        variant="cosine",
        dataset="world-shape",
        task="zeroshot",
        metric="acc1",
        value=50.0,
    )
    importing.write_rows(tmp_path / "published" / "made-up.csv", [row])
    for status, expected in (("inconclusive", 1), ("lower", 0)):
        with pytest.raises(SystemExit) as caught:
            main(["compare", str(folder), "--fail-on", status])
        assert caught.value.code == expected
    assert "inconclusive: cosine on world-shape" in capsys.readouterr().out


def test_check_says_how_many_published_cells_can_be_compared_and_what_prevents_the_others(
    _elsewhere,
):
    experiment = _elsewhere["cc12m"]
    told = comparable.lines(experiment, load.resolve(experiment))
    assert told[0] == "78 of 195 known cells can be compared with"
    assert "  78 of wpse-paper, 78 published value not imported" in told[1]
    assert any(
        "78 of wpse-paper cannot: corpus cc3m, here cc12m; epochs 50, here 35" in line
        for line in told
    )
    assert any("kme-clip-paper: cells not known here" in line for line in told)


def test_a_source_may_say_no_more_than_that_its_table_exists(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["published", "show", "kme-clip-paper"])
    printed = capsys.readouterr().out
    assert caught.value.code == 0 and "cosine, wpse-gaussian, kme-gaussian" in printed
    assert not [row for row in published.rows() if row.source == "kme-clip-paper"]


def test_released_weights_meet_the_cells_of_open_clips_list(_elsewhere):
    experiment = _elsewhere["released"]
    runs = [load._stand_in(model.name) for model in experiment.models]
    cell = {"source": "openclip-retrieval-csv", "url": "https://example.org", "table": "t"}
    cell |= {"corpus": "x", "backbone": "x", "epochs": None, "variant": "x", "task": "retrieval"}
    cell |= {"dataset": "flickr30k", "metric": "image_retrieval_recall@1", "value": 50.0}
    theirs = [
        published.PublishedRow(**cell, weights=name, n_test=1000)
        for name in ("ViT-B-16/laion2b_s34b_b88k", "ViT-L-14/openai")
    ]
    planned = comparable.plan(experiment, runs, theirs)
    assert planned.comparable == tuple(theirs[:1])
