"""The report's content, its three formats, and what it refuses."""

import json
import os
import re
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from synthetic import DATASETS, change, run_name, write_experiment, write_weights

from kbench.cli import main
from kbench.errors import UserError
from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.report.latex_text import tex
from kbench.results import samples, store, table

ABILITIES = {"cosine": 3.0, "cosine-mean": 2.4, "wpse-linear": 2.8, "wpse-gaussian": 1.5}


class Page(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.loads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        elif tag != "use":
            self.loads += [
                attributes[key] for key in ("src", "href", "srcset", "data") if key in attributes
            ]


def built(folder, figures=False):
    loaded = store.load(folder)
    return content.build(Analysis(loaded, table.frame(loaded)), figures)


def run(*arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("report") / "made-up", ABILITIES)


@pytest.fixture(scope="module")
def page(folder):
    assert run("report", folder) == 0
    return (folder / "report" / "index.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_but_itself(page):
    found = Page(page)
    assert [load for load in found.loads if not load.startswith("data:")] == []
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", page)


def test_links_resolve_and_ids_are_unique(page):
    found = Page(page)
    assert len(found.ids) == len(set(found.ids))
    inside = [link[1:] for link in found.links if link.startswith("#")]
    assert inside and set(inside) <= set(found.ids)
    outside = [link for link in found.links if not link.startswith("#")]
    assert all(link.startswith("https://") for link in outside)


def test_references_inside_plots_resolve(page):
    ids = set(Page(page).ids)
    used = re.findall(r'url\(#([^)]+)\)|xlink:href="#([^"]+)"', page)
    assert used and {one or other for one, other in used} <= ids


def test_plots_take_their_colours_from_the_page(page):
    svg = page[page.index("<svg") : page.rindex("</svg>")]
    assert "var(--series-1)" in svg and "currentColor" in svg and "#abc" not in svg


def test_every_run_has_its_command_and_checkpoint(page, folder):
    for name in store.load(folder).experiment.runs:
        assert f'id="run-{name}"' in page
        assert f"snakemake {folder}/runs/{name}/evaluated.json" in page


def test_rendering_is_deterministic(folder, page):
    assert render.html(built(folder, figures=True)) == page


def test_the_answer_is_three_sentences_and_says_who_is_behind(folder):
    order, certainty, ranking = built(folder).answer
    assert "on average over 3 datasets, the highest mean is cosine's" in order
    assert "Of 6 pairs a test separates" in certainty
    assert "four times in five" in certainty and "pointwise mutual information" in certainty
    assert "Nothing here ranks the methods" in ranking
    assert "equal tuning budget" in ranking and "at least 5 seeds (here 2)" in ranking
    assert "several step counts (here 1)" in ranking


def test_the_answer_when_cosine_is_last(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": -1.0, "wpse-linear": 3.0}, seeds=(0, 1, 2, 3, 4)
    )
    order, certainty, ranking = built(folder).answer
    assert "the highest mean is wpse-linear's" in order and "; cosine's is " in order
    assert "a test separates 1 after" in certainty and "wpse-linear is above cosine by" in certainty
    assert "seeds (here" not in ranking


def test_no_order_is_told_that_no_test_shows(tmp_path):
    """Three equal variants with everything else that a ranking needs."""
    folder = write_experiment(
        tmp_path / "made-up", dict.fromkeys(("cosine", "filip", "wpse-linear"), 1.0), range(5)
    )
    report = built(folder)
    _, certainty, ranking = report.answer
    said = " ".join([*report.answer, *(s for part in report.sections for s in part.sentences)])
    assert "separates none" in certainty and "no difference is shown" in certainty
    assert not re.search(r"rank behind|is above|scores best|ahead|order holds", said)
    assert "Nothing here ranks the methods" in ranking


def test_variants_that_a_large_set_shows_to_be_alike_are_equivalent(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up",
        {"cosine": 3.0, "filip": 3.0},
        range(6),
        datasets=("world-shape",),
        n_test=20_000,
        seed_sd=0.01,
    )
    _, certainty, _ = built(folder).answer
    assert "1 is equivalent within 1.0 points" in certainty
    [pairs] = [section for section in built(folder).sections if section.id == "pairs"]
    assert re.search(
        "(cosine and filip|filip and cosine) are equivalent within", pairs.sentences[1]
    )


def test_one_training_of_each_is_never_called_equivalent(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up",
        {"cosine": 3.0, "filip": 3.0},
        seeds=(0,),
        datasets=("world-shape",),
        n_test=20_000,
        seed_sd=0.0,
    )
    assert "equivalent" not in built(folder).answer[1]
    assert "of 1 no difference is shown" in built(folder).answer[1]


def asking(folder, **question):
    """Let a made-up experiment have named a question."""
    record = json.loads((folder / "experiment.json").read_text())
    record["experiment"]["primary"] = question
    (folder / "experiment.json").write_text(json.dumps(record))
    return built(folder)


def test_the_question_that_was_named_comes_first_with_a_correction_of_its_own(tmp_path):
    variants = {"cosine": 1.0, "filip": 3.5, "wpse-linear": 1.0, "wpse-imq": 1.0}
    folder = write_experiment(tmp_path / "made-up", variants, range(4))
    report = asking(folder, task="zeroshot", reference="cosine")
    assert report.answer[0].startswith("Named before the run: zero-shot top-1 accuracy on average")
    assert "Of 3 pairs a test separates 1" in report.answer[0]
    assert "filip is above cosine by" in report.answer[0]
    assert len(report.answer) == 4 and report.answer[2].startswith("Exploratory: of 6 pairs")
    first, *_ = report.sections
    assert first.id == "primary" and {row[1].text for row in first.tables[0].rows} == {"cosine"}
    [others] = [section for section in report.sections if section.id == "pairs"]
    assert "these are exploratory" in others.sentences[0]
    alone = asking(folder, task="zeroshot", reference="cosine", variants=["filip"])
    p = [part.sections[0].tables[0].rows[0][4].sort for part in (report, alone)]
    assert p[0] == pytest.approx(3 * p[1])
    one = asking(folder, task="retrieval", dataset="world-retrieval", reference="filip")
    assert "on world-retrieval, against filip" in one.answer[0]


def test_the_page_opens_with_the_numbers_and_the_figure_of_what_was_asked(tmp_path):
    variants = {"cosine": 1.0, "filip": 3.5, "wpse-linear": 1.0}
    folder = write_experiment(tmp_path / "made-up", variants, range(4))
    asking(folder, task="zeroshot", reference="cosine")
    report = built(folder, figures=True)
    loaded = store.load(folder)
    pairs = Analysis(loaded, table.frame(loaded)).primary
    widest = max(pairs, key=lambda pair: abs(pair.estimate.value))
    assert [pair.significant for pair in pairs].count(True) == 1 and widest.first == "filip"
    separated, size, detectable = report.numbers
    assert separated.value == "1 of 2"
    assert size.value == f"{100 * widest.estimate.value:.1f} points"
    low, high = (f"{100 * end:.1f}" for end in (widest.estimate.low, widest.estimate.high))
    assert size.meaning == f"filip less cosine, 95 % interval {low} to {high}"
    assert detectable.value == f"{100 * widest.detectable:.1f} points"
    assert report.opening.id == "figure-opening-zeroshot"
    # What all are set against is said once, by the axis.
    assert (
        report.opening.svg.count("cosine") == 1 and "each less cosine, points" in report.opening.svg
    )
    assert render.html(report).index("1 of 2") < render.html(report).index("figure-opening")


def test_a_page_without_a_tested_pair_opens_with_words_alone(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, range(2))
    report = built(folder, figures=True)
    assert report.opening is None and report.numbers == []
    assert '<div class="shown">' not in render.html(report)


def test_a_question_finds_its_variants_where_there_are_several_objectives(tmp_path):
    """There tables name a group by its variant and its objective."""
    variants = {"cosine": 1.0, "wpse-linear": 1.0, "cosine-sigmoid": 3.5}
    folder = write_experiment(tmp_path / "made-up", variants, range(4))
    for path in folder.glob("runs/cosine-sigmoid-*/**/*.json"):
        if path.name != "config.json":
            change(path, objective="sigmoid")
    report = asking(folder, task="zeroshot", reference="cosine", variants=["cosine-sigmoid"])
    said = "Named before the run: cosine-sigmoid, sigmoid is "
    assert report.answer[0].startswith(said) and "above cosine, infonce in" in report.answer[0]


def test_without_a_question_everything_is_exploratory(folder):
    [pairs] = [section for section in built(folder).sections if section.id == "pairs"]
    assert "every comparison here is exploratory" in pairs.sentences[0]


def test_a_question_without_results_says_so(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-shape",))
    assert "no result of it yet" in asking(folder, task="retrieval", reference="cosine").answer[0]


def test_missing_seeds_do_not_count(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 3.0, "filip": 1.0}, seeds=(0, 1, 2, 3, 4)
    )
    for path in folder.glob("runs/filip-s[1234]*/evaluation/*/*.json"):
        path.unlink()
    order, _, ranking = built(folder).answer
    assert "at least 5 seeds (here 1)" in ranking
    assert "cosine's" in order and "filip's is" in order and "(1 seed)" in order


def test_one_seed_says_that_training_variance_is_unknown(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 3.0, "filip": 1.0}, seeds=(0,))
    report = built(folder)
    assert "the variance of training is unknown" in report.answer[1]
    assert "(1 seed)" in report.answer[0] and "±" not in report.answer[0]
    [pairs] = [section for section in report.sections if section.id == "pairs"]
    assert "the variance of training is unknown" in pairs.sentences[1]


def test_a_partial_experiment(tmp_path):
    folder = write_experiment(tmp_path / "made-up", ABILITIES)
    gone = (
        folder / "runs" / run_name("cosine-mean", 1) / "evaluation" / "world-size" / "zeroshot.json"
    )
    gone.unlink()
    for path in (
        folder / "runs" / run_name("wpse-linear", 0),
        folder / "runs" / run_name("wpse-linear", 1),
    ):
        (path / "evaluation/world-size/zeroshot.json").unlink()
    report = built(folder)
    assert "Partial: 3 of" in report.warnings[0]
    assert len(report.missing.rows) == 3
    [zeroshot] = [section for section in report.sections if section.id == "zeroshot"]
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in zeroshot.tables[0].rows}
    assert cells["wpse-linear"][2:] == ["missing", "missing"]
    # A variant with one of its two seeds is marked where its numbers stand.
    assert "±" not in cells["cosine-mean†"][2] and "±" in cells["cosine-mean†"][1]
    page = render.html(report)
    assert "3 of " in page and 'id="missing"' in page


def test_an_experiment_that_has_not_begun(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=())
    document = json.loads((folder / "experiment.json").read_text())
    (folder / "experiment.json").write_text(json.dumps(document | {"datasets": list(DATASETS)}))
    assert run("report", folder) == 0
    assert built(folder).answer == ["There is no result yet: all 16 are missing."]


def test_several_objectives_are_not_averaged(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 3.0, "cosine-mean": 1.0}, seeds=(0, 1)
    )
    for path in (folder / "runs" / run_name("cosine-mean", 0)).glob("evaluation/*/*.json"):
        change(path, variant="cosine", objective="sigmoid")
    report = built(folder)
    names = {row[0].text for row in report.sections[0].tables[0].rows}
    assert names == {"cosine, infonce", "cosine, sigmoid", "cosine-mean, infonce"}
    assert set(Page(render.html(report)).ids) >= {
        "variant-cosine-infonce",
        "variant-cosine-sigmoid",
    }


def test_a_smoke_run_warns(folder, tmp_path):
    other = write_experiment(tmp_path / "made-up-smoke", {"cosine": 1.0}, datasets=("world-shape",))
    document = json.loads((other / "experiment.json").read_text())
    document["experiment"] = {"evaluation": {"synthetic": True}}
    (other / "experiment.json").write_text(json.dumps(document))
    assert "Smoke run" in built(other).warnings[0]
    assert "--config experiment=made-up smoke=true" in render.html(built(other))
    assert built(folder).warnings == []


def test_an_undefined_metric_is_not_a_number(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-pairs",), seeds=(0, 1)
    )
    for path in folder.glob("runs/*/evaluation/world-pairs/pmi_gap.json"):
        document = json.loads(path.read_text())
        document["metrics"][2]["value"] = None
        path.write_text(json.dumps(document))
    report = built(folder)
    assert [row[5].text for row in report.results.rows].count("undefined") == 2
    assert not re.search(r">\s*-?(nan|inf)\b", render.html(report), flags=re.IGNORECASE)


def bold(folder, section="zeroshot", column=-1):
    """Return the variants that are bold in a column of a section's first table."""
    [part] = [part for part in built(folder).sections if part.id == section]
    return {row[0].text for row in part.tables[0].rows if row[column].best}


def test_the_best_is_bold_with_those_that_no_test_separates_from_it(tmp_path):
    abilities = {"cosine": 3.0, "filip": 3.0, "wpse-imq": -1.0, "wpse-linear": -2.0}
    folder = write_experiment(tmp_path / "apart", abilities, range(4), seed_sd=0.1)
    assert bold(folder) == {"cosine", "filip"} == bold(folder, column=1)
    assert bold(folder, "pmi_gap", 1) <= {"cosine", "filip"}
    alike = write_experiment(tmp_path / "alike", dict.fromkeys(abilities, 1.0), range(4))
    assert bold(alike) == set(), "all of them is none"


def test_nothing_is_bold_at_the_level_of_guessing_or_between_dimensions(tmp_path):
    # Of four labels one in four is right by chance; the made-up answers are right in fewer.
    guessing = {"cosine": -3.0, "filip": -4.5}
    folder = write_experiment(tmp_path / "low", guessing, range(4), n_test=1000, seed_sd=0.05)
    assert bold(folder, column=1) == set()
    dims = {"cosine-d2": -2.0, "cosine-d8": 3.0}
    assert bold(write_experiment(tmp_path / "dims", dims, range(4))) == set()


def test_trainings_that_stand_out_are_said(tmp_path):
    abilities = dict.fromkeys(("cosine", "filip", "wpse-linear", "wpse-imq"), 2.0)
    folder = write_experiment(tmp_path / "made-up", abilities, range(8), seed_sd=0.05)
    assert not any("far apart" in warning for warning in built(folder).warnings)
    for path in folder.glob("runs/filip-s[02]-*/evaluation/*/zeroshot.*"):
        if path.suffix == ".npz":
            path.unlink()
            continue
        document = json.loads(path.read_text())
        for metric in document["metrics"]:
            metric["value"] -= 0.3
            metric["draws"] = [draw - 0.3 for draw in metric["draws"]]
        path.write_text(json.dumps(document))
    [warning] = [warning for warning in built(folder).warnings if "far apart" in warning]
    assert "filip's seeds in zero-shot are" in warning
    assert "2 of its 8 trainings failed (25 %, 95 % interval 3 to 65 %)" in warning


def test_markdown(folder):
    text = render.markdown(built(folder))
    rows = [line for line in text.splitlines() if line.startswith("| wpse-gaussian |")]
    assert rows and all(" ± " in row for row in rows[:2])
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
    # What follows a table or a list without an empty line would belong to it.
    assert not re.search(r"^\|.*\n[^|\n]|^- .*\n[^-\n]", text, flags=re.MULTILINE)
    assert "released\\_code" in text and "published value not imported" in text


def test_latex(folder):
    text = render.latex(built(folder))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 5
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\caption{")
    assert r"\textbf{" in text and r"$\pm$" in text
    assert r"Widths \& depths of 5 \% are not released\_code." in text
    assert text.isascii()


def test_latex_is_ascii_whatever_the_text_is():
    assert tex("Ünïć 5 % “a_b” 10⁻² …") == ("\\\"{U}n\\\"{i}\\'{c} 5 \\% ``a\\_b'' 10$-$2 \\dots{}")
    assert tex("τ 漢") == r"\texttt{U+03C4} \texttt{U+6F22}"


def test_names_are_escaped(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-shape",))
    hostile = "<script>alert(1)</script> ![x](http://evil/x) [y](javascript:z) `code` \n# heading"
    change(folder / "experiment.json", description=hostile)
    report = built(folder)
    assert "<script>alert" not in render.html(report)
    text = render.markdown(report)
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(", text)
    assert [line for line in text.splitlines() if line.startswith("# ")] == ["# made-up"]


def test_ten_runs_on_eight_datasets_are_quick(tmp_path):
    datasets = (*DATASETS, "world-background", "world-shape-colour", "world-digits")
    folder = write_experiment(
        tmp_path / "made-up", ABILITIES | {"wpse-imq": 2.0}, datasets=datasets, n_test=1000
    )
    start = time.process_time()
    assert run("report", folder) == 0
    assert time.process_time() - start < 10


def test_bad_input_is_one_message_and_status_2(tmp_path, capsys):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-shape",))
    result = next(folder.glob("runs/*/evaluation/*/zeroshot.json"))
    good = result.read_text()
    for command in ("compare", "report"):
        assert run(command, tmp_path / "absent") == 2
        assert "no such results folder" in capsys.readouterr().err
        result.write_text(good[:200])
        assert run(command, folder) == 2
        assert str(result) in capsys.readouterr().err
        result.write_text(good)
        change(result, code_version="0.1.0+other")
        assert run(command, folder) == 2
        message = capsys.readouterr().err
        assert "must not be mixed" in message and message.count("\n") == 1
        result.write_text(good)


def test_a_folder_that_cannot_be_written(tmp_path, capsys):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-shape",))
    (folder / "report").write_text("in the way")
    assert run("report", folder) == 2
    assert "cannot write" in capsys.readouterr().err
    (folder / "table.csv").mkdir()
    assert run("compare", folder) == 2
    assert "cannot write" in capsys.readouterr().err


def test_compare_writes_the_tidy_table(tmp_path, capsys):
    import pandas

    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0, "filip": 2.0})
    (folder / "runs" / run_name("filip", 1) / "evaluation/world-size/zeroshot.json").unlink()
    assert run("compare", folder) == 0
    printed = capsys.readouterr().out
    assert "made-up: 31 of 32 results" in printed and "missing: snakemake" in printed
    read = pandas.read_csv(folder / "table.csv")
    keys = ["run", "dataset", "task", "metric"]
    assert not read.duplicated(keys).any()
    assert set(read["status"]) == {"measured", "missing"}
    assert read.loc[read["status"] == "missing", "value"].isna().all()
    rows = json.loads((folder / "table.json").read_text())["rows"]
    assert len(rows) == len(read) and rows[0]["code_version"] == "0.1.0+made.up"


def test_comparable_published_numbers(folder, tmp_path, monkeypatch):
    from kbench.records.documents import PublishedRow
    from kbench.results.importing import write_rows

    monkeypatch.chdir(tmp_path)
    common = dict(
        source="made-up",
        url="https://example.org",
        table="Table 1",
        corpus="world",
        backbone="demo",
    )
    common |= dict(epochs=9.6, task="zeroshot", metric="acc1", dataset="world-shape")
    rows = [
        PublishedRow(**common, variant=name, value=50.0 - i) for i, name in enumerate(ABILITIES)
    ]
    write_rows(tmp_path / "published" / "made-up.csv", rows)
    report = built(folder)
    [section] = [section for section in report.sections if section.id == "published"]
    tables = {table.id: table for table in section.tables}
    assert len(tables["published-comparable"].rows) == 4
    outcomes = {"reproduced", "higher", "lower", "inconclusive"}
    assert {row[8].text for row in tables["published-comparable"].rows} <= outcomes
    assert len(tables["published-claims"].rows) == 6
    assert {row[3].text for row in tables["published-claims"].rows} <= {
        "reproduced",
        "contradicted",
        "open",
    }
    assert tables["published-overall"].rows[0][2].text == "4"
    assert r"\label{tab:published-claims}" in render.latex(report)


def test_logits_are_drawn_against_pmi_where_stored(folder, tmp_path):
    def figures(report):
        return [figure.id for section in report.sections for figure in section.figures]

    drawn = figures(built(folder, figures=True))
    assert "figure-scatter" in drawn and "figure-spectrum" in drawn
    other = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-pairs",))
    for path in other.glob("runs/*/evaluation/world-pairs/pmi_gap.npz"):
        path.unlink()
    report = built(other, figures=True)
    assert not {"figure-scatter", "figure-spectrum"} & set(figures(report))
    assert "spectrum" not in {table.id for section in report.sections for table in section.tables}


def test_spectra_are_shown_beside_that_of_pmi(folder):
    tables = {table.id: table for section in built(folder).sections for table in section.tables}
    rows = tables["spectrum"].rows
    assert [row[0].text for row in rows] == ["PMI", *ABILITIES]
    arrays = np.load(folder / "runs" / run_name("cosine", 0) / "evaluation/world-pairs/pmi_gap.npz")
    shares = arrays["singular_values"] / arrays["singular_values"].sum()
    assert rows[1][1].sort == pytest.approx(np.exp(-np.sum(shares * np.log(shares))))
    assert (
        rows[1][2].sort == arrays["singular_values"][0]
        and rows[0][2].sort == arrays["pmi_singular_values"][0]
    )


def test_weights_are_drawn_where_stored(tmp_path):
    folder = write_experiment(
        tmp_path / "made-up", {"cosine": 1.0, "wpse-linear": 1.0}, datasets=("world-shape",)
    )
    write_weights(folder / "runs" / run_name("wpse-linear", 1) / "weights.npz")
    report = built(folder, figures=True)
    [section] = [section for section in report.sections if section.id == "weights"]
    assert [figure.id for figure in section.figures] == [
        f"figure-weights-wpse-linear-{index}" for index in (0, 1)
    ]
    assert (
        "caption 0 <of>" in section.figures[0].caption
        and "data:image/png" in section.figures[0].svg
    )
    assert "caption 0 &lt;of&gt;" in render.html(report)
    (folder / "runs" / run_name("wpse-linear", 1) / "weights.npz").write_bytes(b"PK broken")
    with pytest.raises(UserError, match=r"weights\.npz"):
        built(folder, figures=True)


def test_the_gap_has_its_interval_over_seeds_and_batches_and_not_below_0(folder):
    from scipy import stats

    [gap] = [section for section in built(folder).sections if section.id == "pmi_gap"]
    shown = gap.tables[0]
    assert shown.header[-1] == "excess loss, nats, 95 % interval"
    loaded = store.load(folder)
    losses = [
        samples.per_sample(loaded, result, "excess_loss")
        for result in loaded.results
        if (result.variant, result.task) == ("cosine", "pmi_gap")
    ]
    first, second = losses
    over_seeds = (first.mean() - second.mean()) ** 2 / 4
    rest = np.var(first - second, ddof=1) / 4 / len(first)
    over_batches = np.var((first + second) / 2, ddof=1) / len(first) - rest
    weighted = over_seeds * stats.t.ppf(0.975, 1)
    weighted += over_batches * stats.t.ppf(0.975, len(first) - 1)
    high = (first.mean() + second.mean()) / 2 + weighted / np.sqrt(over_seeds + over_batches)
    assert shown.rows[0][-1].text == f"0.000 to {high:.3f}"
    assert "The interval covers training seeds and the choice of test samples." in shown.notes


def test_what_the_corpus_was_found_to_hold_is_stated(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 2.0}, n_test=40)
    assert "corpus" not in built(folder).provenance
    shard = {
        "name": "0.tar",
        "pairs": 97,
        "sha256": "0" * 64,
        "unusable": {"empty caption": [3, 5, 8]},
    }
    manifest = {"corpus": "web", "pairs": 97, "shards": [{**shard, "unusual": {"CMYK": 2}}]}
    (folder / "corpus.json").write_text(json.dumps(manifest), encoding="utf-8")
    said = built(folder).provenance["corpus"]
    assert said.startswith("web: 97 usable pairs in 1 shards")
    assert "passed over: empty caption 3" in said and "used as it is: CMYK 2" in said
    assert run("report", folder) == 0
    assert "passed over: empty caption 3" in (folder / "report" / "report.md").read_text(
        encoding="utf-8"
    )


def test_of_many_pairs_those_of_the_best_variant_are_drawn_and_told(tmp_path):
    abilities = {f"v{i}": i / 5 for i in range(12)}
    loaded = store.load(write_experiment(tmp_path / "many", abilities, datasets=("world-shape",)))
    analysis = Analysis(loaded, table.frame(loaded))
    best = analysis.scores.ranked(analysis.columns("zeroshot"))[0][0]
    told = analysis.told("zeroshot")
    assert len(told) == 11 and all(best in (pair.first, pair.second) for pair in told)
    assert len(analysis.comparisons("zeroshot")) == 66
    page = render.html(content.build(analysis))
    assert "Those of the best variant, 11 of 66." in page and "66" in page


def test_a_second_process_changes_nothing_and_reads_its_own_part(folder, monkeypatch):
    alone, read = built(folder, figures=True), []
    monkeypatch.setattr(content, "MANY", 0)
    per_sample = samples.per_sample
    monkeypatch.setattr(
        samples, "per_sample", lambda *words: read.append(words[1].task) or per_sample(*words)
    )
    together = built(folder, figures=True)
    assert together == alone
    two = len(os.sched_getaffinity(0)) > 1 if hasattr(os, "sched_getaffinity") else False
    assert set(read) == {"zeroshot"} or not two


def test_what_is_wrong_in_the_second_processs_part_is_one_message(tmp_path, monkeypatch):
    folder = write_experiment(tmp_path / "made-up", ABILITIES)
    monkeypatch.setattr(content, "MANY", 0)
    [damaged, *_] = folder.glob("runs/*/evaluation/*/linear_probe.npz")
    damaged.write_bytes(b"no archive")
    with pytest.raises(UserError, match=f"cannot read {damaged}"):
        built(folder)
