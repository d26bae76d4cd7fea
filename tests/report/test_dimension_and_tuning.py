"""Scores against the embedding dimension, and how the report says what the settings rest on."""

import json
import re

import pytest
from synthetic import change, run_name, write_experiment

from kbench.errors import UserError
from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import store, table
from kbench.world import Family, floors

LEAST = ["least of any inner product", "least of any cosine"]
ABILITIES = {"cosine-d2": -2.0, "cosine-d8": 1.0, "wpse-gaussian-d2": 1.0, "wpse-gaussian-d8": 1.2}


def built(folder, figures=False):
    loaded = store.load(folder)
    return content.build(Analysis(loaded, table.frame(loaded)), figures)


def part(report, name):
    return next((section for section in report.sections if section.id == name), None)


def tuning_of(variants, trials=2):
    def search(label):
        tried = [
            {"values": {"learning_rate": rate}, "held_out_loss": loss, "run": f"{label}-{rate}"}
            for rate, loss in [(1e-3, 3.5), (3e-3, 3.25), (1e-2, None)][:trials]
        ]
        return {"chosen": {"learning_rate": 3e-3}, "tried": tried}

    return {
        "rule": "held-out loss",
        "variants": {label: search(label) for label in variants},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rank") / "rank"
    return write_experiment(folder, ABILITIES, seeds=(0, 1, 2, 3, 4), datasets=("world-pairs",))


def test_scores_are_shown_against_the_dimension(folder):
    report = built(folder, figures=True)
    section = part(report, "dimension")
    assert [figure.id for figure in section.figures] == ["figure-dimension-pmi_gap"]
    [shown] = section.tables
    assert shown.header == ["Similarity", "d = 2", "d = 8"]
    assert [row[0].text for row in shown.rows] == ["cosine", "wpse-gaussian", *LEAST]
    loaded = store.load(folder)
    excess = {(r.variant, r.seed): r.metrics[0].value for r in loaded.results}
    mean = sum(excess["cosine-d2", seed] for seed in range(5)) / 5
    assert shown.rows[0][1].sort == pytest.approx(mean)
    assert re.fullmatch(r"\d\.\d{3} ± \d\.\d{3} \[\d\.\d{3}, \d\.\d{3}\]", shown.rows[0][1].text)
    assert (
        "at embedding dimension 2 wpse-gaussian has" in report.answer[0]
        and "dimension 8" in report.answer[0]
    )
    assert "Of 2 pairs at the same embedding dimension a test separates 1" in report.answer[1]


def test_what_free_vectors_reached_is_a_line_and_a_row(folder):
    section = part(built(folder, figures=True), "dimension")
    for name, similarity in zip(LEAST, ("wpse-linear", "cosine"), strict=True):
        assert name in section.figures[0].svg
        [row] = [row for row in section.tables[0].rows if row[0].text == name]
        known = floors.by_dimension(similarity, Family())
        assert [cell.sort for cell in row[1:]] == [known[2], known[8]]
    assert "without towers" in section.figures[0].caption
    assert any("kbench floor" in note for note in section.tables[0].notes)


def test_accuracy_has_no_such_line(tmp_path):
    folder = write_experiment(tmp_path / "rank", ABILITIES, datasets=("world-shape",))
    section = part(built(folder, figures=True), "dimension")
    assert "least of" not in section.figures[0].svg
    assert {row[0].text for row in section.tables[0].rows} == {"cosine", "wpse-gaussian"}


def test_only_variants_of_one_dimension_are_compared(folder):
    [pairs] = part(built(folder), "pairs").tables
    assert {frozenset((row[0].text, row[1].text)) for row in pairs.rows} == {
        frozenset(("cosine-d2", "wpse-gaussian-d2")),
        frozenset(("cosine-d8", "wpse-gaussian-d8")),
    }


def test_a_missing_dimension_is_missing_not_zero(tmp_path):
    folder = write_experiment(tmp_path / "rank", ABILITIES, datasets=("world-pairs",))
    for seed in (0, 1):
        (
            folder / "runs" / run_name("cosine-d2", seed) / "evaluation/world-pairs/pmi_gap.json"
        ).unlink()
    report = built(folder, figures=True)
    assert part(report, "dimension").tables[0].rows[0][1].text == "missing"
    assert "dimension 2 wpse-gaussian has" in report.answer[0]


def test_one_dimension_has_no_such_section(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-pairs",))
    assert part(built(folder), "dimension") is None


def test_groups_that_share_similarity_and_dimension_are_told_apart(tmp_path):
    folder = write_experiment(tmp_path / "rank", ABILITIES, datasets=("world-pairs",))
    for path in folder.glob("runs/wpse-gaussian*/config.json"):
        change(path, similarity="cosine")
    rows = part(built(folder), "dimension").tables[0].rows
    assert [row[0].text for row in rows] == ["cosine", "wpse-gaussian", *LEAST]


def test_without_a_search_every_table_of_scores_says_so(folder):
    shown = part(built(folder), "pmi_gap").tables[0]
    assert (
        "No settings were searched for: the variants share one untuned setting." in shown.notes[-1]
    )
    assert "Checkpoint scored: the last one." in shown.notes[-1]


def test_the_search_is_shown_whole(tmp_path):
    variants = {"cosine": 1.0, "filip": 2.0}
    folder = write_experiment(tmp_path / "made-up", variants, datasets=("world-pairs",))
    (folder / "tuning.json").write_text(json.dumps(tuning_of(variants, trials=3)))
    change(
        folder / "experiment.json",
        experiment={"tuning": {"grid": {"learning_rate": [1e-3, 3e-3, 1e-2]}}},
    )
    report = built(folder)
    section = part(report, "tuning")
    [chosen], [search] = section.tables, section.details
    assert [[cell.text for cell in row] for row in chosen.rows] == [
        ["cosine", "0.003", "3"],
        ["filip", "0.003", "3"],
    ]
    assert len(search.rows) == 6
    assert [cell[-1].text for cell in search.rows[:3]] == ["3.500", "3.250", "failed"]
    assert [row[-1].best for row in search.rows[:3]] == [False, True, False]
    assert "learning_rate 0.001, 0.003, 0.01" in section.sentences[0]
    assert "equal tuning budget" not in report.answer[2]
    assert (
        "The budget was the same, 3 settings a variant."
        in part(report, "pmi_gap").tables[0].notes[-1]
    )
    assert "The whole search: 6 settings" in render.html(report)


def test_choices_at_the_edge_of_the_grid_are_named(tmp_path):
    variants = {"cosine": 1.0, "filip": 2.0}
    folder = write_experiment(tmp_path / "made-up", variants, datasets=("world-pairs",))
    tuning = tuning_of(variants, trials=3)
    tuning["variants"]["filip"]["chosen"] = {"learning_rate": 1e-3}
    (folder / "tuning.json").write_text(json.dumps(tuning))
    for grid, said in (
        (
            [1e-3, 3e-3, 1e-2],
            ["filip chose the smallest learning_rate, 0.001: the best may lie beyond the grid."],
        ),
        ([5e-4, 1e-3, 3e-3, 1e-2], []),
        ([1e-3], []),
        (["a", "b"], []),
    ):
        change(folder / "experiment.json", experiment={"tuning": {"grid": {"learning_rate": grid}}})
        assert part(built(folder), "tuning").sentences[2:] == said


def test_budgets_that_differ_are_named(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 1.0, "filip": 2.0}, datasets=("world-pairs",)
    )
    tuning = tuning_of(["cosine", "filip"])
    tuning["variants"]["filip"]["tried"].pop()
    (folder / "tuning.json").write_text(json.dumps(tuning))
    report = built(folder)
    assert "the recorded budgets differ" in report.answer[2]
    assert "1 to 2 settings" in part(report, "tuning").sentences[1]


def test_a_search_for_another_variant_is_refused(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-pairs",))
    (folder / "tuning.json").write_text(json.dumps(tuning_of(["cosin"])))
    with pytest.raises(
        UserError, match=r"tuning.json: unknown variant 'cosin'; did you mean 'cosine'"
    ):
        store.load(folder)
    (folder / "tuning.json").write_text("{}")
    with pytest.raises(UserError, match="cannot use"):
        store.load(folder)
