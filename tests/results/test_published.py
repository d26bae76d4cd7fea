"""Published numbers as data, and verdicts against them."""

import numpy as np
import pytest
from synthetic import change, write_experiment

from kbench.cli import main
from kbench.errors import UserError
from kbench.results import published, store
from kbench.results.verdicts import verdicts

HEADER = ",".join(published.PublishedRow.model_fields)


def row(**changes):
    values = dict(
        source="slip-readme",
        url="https://example.org",
        table="t",
        corpus="world",
        backbone="demo",
        epochs=9.6,
        variant="cosine",
        dataset="world-shape",
        task="zeroshot",
        metric="acc1",
        value=50.0,
    )
    return published.PublishedRow(**(values | changes))


@pytest.fixture(autouse=True)
def _nothing_imported(tmp_path, monkeypatch):
    """Imported numbers lie in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verdicts") / "made-up"
    return store.load(
        write_experiment(folder, {"cosine": 0.0, "filip": 1.0}, seeds=(0, 1, 2), n_test=400)
    )


def ours(loaded, variant="cosine"):
    cells = [
        r
        for r in loaded.results
        if (r.variant, r.dataset, r.task) == (variant, "world-shape", "zeroshot")
    ]
    return np.array([100 * cell.metrics[0].value for cell in cells])


def test_the_package_data_is_valid():
    rows = published.rows()
    given = [entry for entry in rows if entry.value is not None]
    assert len(given) == 39 and {entry.source for entry in rows} <= set(published.sources())
    assert all(entry.url.startswith("https://") for entry in rows)


def test_no_number_of_the_wpse_paper():
    cells = published.of_source("wpse-paper")
    assert len(cells) == 2 * 3 * 2 * 13
    assert {published.value_text(cell) for cell in cells} == {"published value not imported"}


def test_commands(capsys):
    for arguments, expected in (
        (["published", "list"], "slip-readme"),
        (["published", "show", "wpse-paper"], "published value not imported"),
        (["published", "show", "openclip-results-csv"], "its own prompts"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0 and expected in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["published", "show", "slip-readmee"])
    assert caught.value.code == 2 and "did you mean 'slip-readme'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("a,https://x.org,t,cc3m,ViT-B/16,40,cosine,imagenet1k,zeroshot,acc1,171,,", "value"),
        ("a,x.org,t,cc3m,ViT-B/16,40,cosine,imagenet1k,zeroshot,acc1,17.1,,", "url"),
        ("a,https://x.org,t,cc3m,ViT-B/16,soon,cosine,imagenet1k,zeroshot,acc1,17.1,,", "epochs"),
    ],
)
def test_invalid_rows_name_file_line_and_column(tmp_path, line, wrong):
    path = tmp_path / "rows.csv"
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UserError, match=rf"rows\.csv, line 2: {wrong}"):
        published.read_rows(path)


def test_moved_columns_are_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(HEADER.replace("value", "score") + "\n")
    with pytest.raises(UserError, match="expected source"):
        published.read_rows(path)


def test_two_values_for_one_cell(tmp_path):
    path = tmp_path / "published" / "more.csv"
    path.parent.mkdir()
    table = '"README, additional datasets and models"'
    line = (
        f"slip-readme,https://x.org,{table},cc3m,ViT-B/16,40,cosine,imagenet1k,zeroshot,acc1,12.5,,"
    )
    path.write_text(f"{HEADER}\n{line}\n")
    with pytest.raises(UserError, match=r"17\.1 and 12\.5"):
        published.rows()


def test_given_values_replace_pending_cells(tmp_path):
    before = published.rows()
    path = tmp_path / "published" / "more.csv"
    path.parent.mkdir()
    # A made-up number: only the number of pending cells matters.
    path.write_text(
        f"{HEADER}\nwpse-paper,https://x.org,t,cc3m,ViT-B/16,50,cosine,dtd,zeroshot,acc1,1.5,,\n"
    )
    after = published.rows()
    assert len(before) == len(after)
    assert (
        sum(entry.value is None for entry in before)
        == sum(entry.value is None for entry in after) + 1
    )


@pytest.mark.parametrize("offset, status", [(0, "inconclusive"), (-45, "higher"), (45, "lower")])
def test_comparable_rows_get_a_verdict(loaded, offset, status):
    values = ours(loaded)
    [found] = verdicts(loaded, [row(value=values.mean() + offset)])
    assert found.status == status and found.seeds == 3
    assert found.difference == pytest.approx(-offset, abs=1e-9)
    assert found.low < found.difference < found.high
    assert "no published sd" in " ".join(found.caveats)


def test_the_interval_predicts_one_training_of_theirs(loaded):
    from scipy import stats

    values = ours(loaded)
    share = values.mean() / 100
    t, z = stats.t.ppf(0.975, 2), stats.norm.ppf(0.975)
    same_images, other_images, with_sd = verdicts(
        loaded, [row(n_test=400), row(), row(n_test=400, std=2.0)]
    )
    one = values.var(ddof=1)
    assert same_images.high - same_images.difference == pytest.approx(t * np.sqrt(one / 3 + one))
    assert with_sd.high - with_sd.difference == pytest.approx(t * np.sqrt(one / 3 + 4))
    images = 2 * 1e4 * share * (1 - share) / 400
    wider = np.sqrt(t**2 * (one / 3 + one) + z**2 * images)
    assert other_images.high - other_images.difference == pytest.approx(wider, rel=1e-3)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"corpus": "cc3m"}, "corpus cc3m, here world"),
        ({"backbone": "ViT-B/16"}, "backbone ViT-B/16, here demo"),
        ({"epochs": 40}, "epochs 40, here 9.6"),
        ({"variant": "slip"}, "variant slip is not trained here"),
        ({"dataset": "imagenet1k"}, "dataset is not evaluated here"),
        ({"task": "linear_sgd"}, "task linear_sgd is not measured here"),
        ({"metric": "acc5"}, "no zeroshot acc5 here"),
        ({"source": "openclip-results-csv"}, "its own prompts"),
        ({"source": "wpse-paper"}, "checkpoint selection test-column, here last"),
        ({"objective": "sigmoid"}, "objective sigmoid, here infonce"),
        ({"split": "val"}, "split val, here test"),
        ({"n_test": 10_000}, "test samples 10000, here 400"),
        ({"unit": "nats"}, "unit nats, here percent"),
    ],
)
def test_reasons_why_not_comparable(loaded, changes, reason):
    [found] = verdicts(loaded, [row(**changes)])
    assert found.status == "not comparable" and reason in "; ".join(found.reasons)
    assert found.difference is None


def test_settings_that_are_met_only_by_different_runs(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 0.0}, datasets=("world-shape",), seeds=(0, 1)
    )
    first, second = sorted(folder.glob("runs/*/evaluation/*/zeroshot.json"))
    change(first, corpus="cc3m")
    change(second, epochs=40)
    [found] = verdicts(store.load(folder), [row(corpus="cc3m", epochs=40)])
    assert found.status == "not comparable" and len(found.reasons) == 1


def test_a_value_that_is_not_imported(loaded):
    [found] = verdicts(loaded, [row(value=None)])
    assert found.status == "published value not imported" and found.ours == pytest.approx(
        ours(loaded).mean()
    )


def published_csv(tmp_path, rows):
    from kbench.results.importing import write_rows

    write_rows(tmp_path / "published" / "made-up.csv", rows)


def test_fail_on_lower(loaded, tmp_path, capsys):
    def status():
        with pytest.raises(SystemExit) as caught:
            main(["compare", str(loaded.folder), "--fail-on", "lower"])
        return caught.value.code

    assert status() == 0
    published_csv(tmp_path, [row(source="made-up", value=ours(loaded).mean() + 45)])
    assert status() == 1
    assert "lower: cosine on world-shape" in capsys.readouterr().out
    published_csv(tmp_path, [row(source="made-up", value=max(0.0, ours(loaded).mean() - 45))])
    assert status() == 0


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims") / "made-up"
    abilities = {"cosine": -1.0, "filip": 0.0, "wpse-linear": 3.0}
    return store.load(write_experiment(folder, abilities, seeds=(0, 1, 2, 3), n_test=400))


def claimed(loaded, averages):
    """Return claims and table agreement for published averages that are the same on each
    dataset.
    """
    from kbench.report.analysis import Analysis
    from kbench.results import agreement, table

    rows = [
        row(variant=variant, value=value, dataset=dataset, source="made-up")
        for variant, value in averages.items()
        for dataset in ("world-shape", "world-colour")
    ]
    found = verdicts(loaded, rows)
    analysis = Analysis(loaded, table.frame(loaded))
    claims = agreement.claims(found, analysis.scores, analysis.pairs)
    return (
        {(c.comparison.first, c.comparison.second): c for c in claims},
        agreement.tables(found),
        found,
    )


def test_published_orders_are_reproduced_contradicted_or_open(three):
    claims, [overall], _ = claimed(three, {"cosine": 20.0, "filip": 30.0, "wpse-linear": 40.0})
    assert claims["wpse-linear", "cosine"].verdict == "reproduced"
    assert claims["wpse-linear", "cosine"].published == pytest.approx(20)
    assert overall.rank_correlation == pytest.approx(1) and overall.cells == 6
    claims, [overall], found = claimed(three, {"cosine": 40.0, "filip": 30.0, "wpse-linear": 20.0})
    assert claims["cosine", "wpse-linear"].verdict == "contradicted"
    assert overall.rank_correlation == pytest.approx(-1)
    assert overall.mean_difference == pytest.approx(
        np.mean([verdict.difference for verdict in found])
    )


def test_an_order_that_chance_explains_is_open(tmp_path):
    equal = write_experiment(tmp_path / "made-up", {"cosine": 1.0, "filip": 1.0}, n_test=400)
    claims, [overall], _ = claimed(store.load(equal), {"cosine": 20.0, "filip": 30.0})
    assert claims["filip", "cosine"].verdict == "open" and overall.rank_correlation is None


def test_claims_need_comparable_cells(three):
    from kbench.results import agreement

    assert agreement.tables(verdicts(three, published.rows())) == []


WEIGHTS = "ViT-B-16/laion2b_s34b_b88k"


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Results of weights of open_clip's, as they are and compared by another similarity."""
    folder = tmp_path_factory.mktemp("weights") / "made-up"
    write_experiment(folder, {"theirs": 0.0, "theirs-filip": 0.0}, seeds=(0,), n_test=400)
    names = {"theirs": None, "theirs-filip": "filip"}
    models = [{"name": name, "similarity": other} for name, other in names.items()]
    change(folder / "experiment.json", experiment={"name": "made-up", "models": models})
    for card in folder.glob("runs/*/model.json"):
        change(card, imported={"source": WEIGHTS})
    return store.load(folder)


@pytest.mark.parametrize(
    ("difference", "status"), [(0.9, "reproduced"), (1.1, "lower"), (-1.1, "higher")]
)
def test_of_the_same_weights_the_margin_decides(imported, difference, status):
    here = ours(imported, "theirs").mean()
    of_weights = {"weights": WEIGHTS, "variant": WEIGHTS, "corpus": "laion2b", "backbone": "ViT"}
    [found] = verdicts(imported, [row(value=here + difference, n_test=400, **of_weights)])
    assert (found.status, found.ours, found.low) == (status, here, None)
    assert "the same weights: only the margin decides" in found.caveats
    assert not any("epochs" in caveat or "seed" in caveat for caveat in found.caveats)


@pytest.mark.parametrize(
    ("stated", "reason"),
    [({"n_test": 500}, "test samples 500, here 400"), ({"split": "val"}, "split val, here test")],
)
def test_what_a_list_of_weights_states_must_not_contradict(imported, stated, reason):
    [found] = verdicts(imported, [row(weights=WEIGHTS, variant=WEIGHTS, **stated)])
    assert (found.status, found.reasons) == ("not comparable", (reason,))


def test_weights_that_are_not_here_are_left_out(imported, loaded):
    others = [row(weights="ViT-L-14/openai", variant="x"), row(weights=WEIGHTS, variant=WEIGHTS)]
    assert [verdict.row.weights for verdict in verdicts(imported, others)] == [WEIGHTS]
    assert verdicts(loaded, others) == []
