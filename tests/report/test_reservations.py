"""A number that rests on less, or on something else, than its neighbours is marked where it
stands.
"""

import json
import shutil

import pytest
from synthetic import change, run_name, write_experiment

from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import store, table

VARIANTS = {"cosine": 0.5, "filip": 0.6, "wpse-imq": 0.7}


@pytest.fixture
def folder(tmp_path):
    return write_experiment(tmp_path / "made", VARIANTS, seeds=(0, 1, 2))


def analysed(folder):
    loaded = store.load(folder)
    return Analysis(loaded, table.frame(loaded))


def tables(folder, section):
    report = content.build(analysed(folder), figures=False)
    return next(part for part in report.sections if part.id == section).tables


def searched(folder, chosen):
    tried = [
        {"values": {"learning_rate": rate}, "held_out_loss": 1.0, "run": f"trial-{rate}"}
        for rate in (1e-3, 3e-3, 1e-2)
    ]
    searches = {
        label: {"chosen": {"learning_rate": rate}, "tried": tried} for label, rate in chosen.items()
    }
    document = {"rule": "held-out loss", "variants": searches}
    (folder / "tuning.json").write_text(json.dumps(document))
    grid = {"tuning": {"grid": {"learning_rate": [1e-3, 3e-3, 1e-2]}}}
    change(folder / "experiment.json", experiment=grid)


def test_nothing_is_marked_where_all_is_alike(folder):
    assert analysed(folder).reservations == {}
    assert "†" not in render.markdown(content.build(analysed(folder), figures=False))


def test_a_generative_model_beside_others_is_marked(folder):
    for seed in range(3):
        change(folder / "runs" / run_name("filip", seed) / "config.json", objective="likelihood")
    [said] = analysed(folder).reservations["filip"]
    assert "log p(text given image) less the logarithm of its mean over images" in said
    for part in ("zeroshot", "retrieval", "pairs"):
        for shown in tables(folder, part):
            assert shown.notes[-1].startswith("† filip: a generative model, which learned without")
    head = content.build(analysed(folder), figures=False).answer
    assert any(said in sentence and "filip" in sentence for sentence in head)
    for name, seed in ((name, seed) for name in ("cosine", "wpse-imq") for seed in range(3)):
        change(folder / "runs" / run_name(name, seed) / "config.json", objective="likelihood")
    assert analysed(folder).reservations == {}


def test_missing_seeds_are_marked(folder):
    shutil.rmtree(folder / "runs" / run_name("filip", 1) / "evaluation")
    assert analysed(folder).reservations == {"filip": ["2 of 3 seeds"]}
    for part in ("zeroshot", "retrieval", "pairs"):
        for shown in tables(folder, part):
            names = {cell.text for row in shown.rows for cell in row[: shown.text_columns]}
            assert "filip†" in names and "filip" not in names and "cosine" in names
            assert shown.notes[-1] == "† filip: 2 of 3 seeds."


def test_another_number_of_steps_is_marked(folder):
    for seed in (0, 1, 2):
        change(folder / "runs" / run_name("wpse-imq", seed) / "model.json", steps=750)
    assert analysed(folder).reservations == {"wpse-imq": ["750 steps, others 1,500"]}


def test_a_choice_at_an_end_of_the_grid_is_marked(folder):
    searched(folder, {"cosine": 3e-3, "filip": 1e-2, "wpse-imq": 1e-3})
    assert analysed(folder).reservations == {
        "filip": ["learning_rate 0.01 is the largest tried"],
        "wpse-imq": ["learning_rate 0.001 is the smallest tried"],
    }


def test_what_is_said_of_several_is_said_once(folder):
    searched(folder, {"cosine": 3e-3, "filip": 1e-2, "wpse-imq": 1e-2})
    notes = tables(folder, "zeroshot")[0].notes
    assert [note for note in notes if note.startswith("†")] == [
        "† filip and wpse-imq: learning_rate 0.01 is the largest tried."
    ]


def test_every_format_has_the_mark_and_its_meaning(folder):
    shutil.rmtree(folder / "runs" / run_name("filip", 1) / "evaluation")
    report = content.build(analysed(folder), figures=False)
    latex = render.latex(report).replace(r"\dag{}", "†")
    for text in (render.html(report), render.markdown(report), latex):
        assert "filip†" in text and "† filip: 2 of 3 seeds" in text


def test_numbers_by_dimension_are_marked(tmp_path):
    folder = write_experiment(tmp_path / "made", {"cosine-d2": 0.5, "cosine-d8": 0.9})
    change(folder / "runs" / run_name("cosine-d2", 0) / "model.json", steps=750)
    shown = tables(folder, "dimension")[0]
    assert shown.rows[0][1].text.endswith("†") and not shown.rows[0][2].text.endswith("†")
    assert "† cosine-d2: 750 and 1,500 steps, others 1,500." in shown.notes
