"""The committed summaries hold what the README claims of them."""

import json
import re

import pandas
import pytest
from tiny import ROOT

from kbench.report.analysis import Analysis
from kbench.results import downstream, store, table
from kbench.results.crossing import components
from kbench.results.pairs import Outcome
from kbench.world import Family, floors

DEMO = ROOT / "results" / "demo" / "summary"
WORLD = ROOT / "results" / "world" / "summary" / "table.csv"
RANK = ROOT / "results" / "rank" / "summary" / "table.csv"
CIFAR10 = ROOT / "results" / "cifar10" / "summary" / "table.csv"
VARIANTS = ["cosine", "cosine-mean", "wpse-linear", "wpse-gaussian", "wpse-imq"]
PRECISE = ["cosine", "wpse-linear"]


@pytest.fixture(scope="module")
def medians():
    """Median over seeds, by (variant, dataset, task, metric)."""
    rows = pandas.read_csv(WORLD)
    assert (
        sorted(rows.variant.unique()) == sorted(VARIANTS)
        and rows.groupby("variant").seed.nunique().eq(2).all()
    )
    return rows.groupby(["variant", "dataset", "task", "metric"]).value.median()


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_shot_on_the_embedded_world(medians, variant):
    floors = {
        "world-colour": 0.95,
        "world-background": 0.95,
        "world-digits": 0.95,
        "world-size": 0.75,
    }
    floors |= {"world-shape": 0.90 if variant in PRECISE else 0.65}
    floors |= {"world-shape-colour": 0.90 if variant in PRECISE else 0.70}
    for dataset, floor in floors.items():
        assert medians[variant, dataset, "zeroshot", "acc1"] >= floor, dataset


@pytest.mark.parametrize("variant", VARIANTS)
def test_gap_to_the_optimum(medians, variant):
    assert medians[variant, "world-pairs", "pmi_gap", "excess_loss"] <= (
        0.25 if variant == "cosine" else 0.45
    )
    assert medians[variant, "world-pairs", "pmi_gap", "pearson"] >= 0.85


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_linear_probe_is_no_worse_than_zero_shot(medians, variant):
    for dataset in ("shape", "colour", "size", "background", "shape-colour", "digits"):
        probed, guessed = (
            medians[variant, f"world-{dataset}", t, "acc1"] for t in ("linear_probe", "zeroshot")
        )
        assert probed >= guessed - 0.05, dataset


@pytest.mark.parametrize("variant", VARIANTS)
def test_cifar10_is_learned(variant):
    rows = pandas.read_csv(CIFAR10)
    rows = rows[rows.variant == variant]
    assert sorted(rows.seed.unique()) == [0, 1, 2]
    value = rows.groupby(["dataset", "task", "metric"]).value.min()
    assert value["cifar10", "zeroshot", "acc1"] > 0.5
    assert value["cifar10", "linear_probe", "acc1"] > 0.5
    assert 0 <= value["flickr8k_1k", "retrieval", "image_retrieval_recall@5"] <= 1


def test_small_embeddings_cost_an_inner_product_more_than_a_kernel():
    """What the README says of results/rank: five seeds each, no overlap at 2 dimensions, the
    reverse order at 32.
    """
    rows = pandas.read_csv(RANK)
    excess = rows[rows.metric == "excess_loss"].pivot(
        index="seed", columns="variant", values="value"
    )
    assert excess.shape == (5, 12) and excess.notna().all().all()
    assert excess["wpse-gaussian-d2"].max() < excess["wpse-linear-d2"].min()
    assert excess["wpse-gaussian-d2"].max() < excess["cosine-d2"].min()
    assert excess["cosine-d32"].mean() < excess["wpse-gaussian-d32"].mean()
    floor = floors.by_dimension("wpse-linear", Family())
    assert excess["wpse-gaussian-d2"].max() < floor[2]
    assert all(excess[f"wpse-gaussian-d{d}"].min() > floor[d] for d in (4, 8, 32))
    readme = (ROOT / "README.md").read_text()
    for name, title in (
        ("wpse-linear", "any inner product (`kbench floor`)"),
        ("cosine", "any cosine"),
    ):
        known = floors.by_dimension(name, Family())
        row = " | ".join(f"{known[d]:.3f}" for d in (2, 4, 8, 32))
        assert f"| least of {title} | {row} |" in readme


@pytest.mark.parametrize(
    "report", sorted(ROOT.glob("results/*/summary/report.md")), ids=lambda path: path.parts[-3]
)
def test_commands_of_committed_reports_run_in_any_checkout(report):
    commands = re.findall(r"`(snakemake [^`]*)`", report.read_text())
    assert commands and all(command.split()[1].startswith("results/") for command in commands)


def test_the_demo_answers_its_question_and_does_not_hide_the_floor():
    """What the README says: at 2 dimensions the kernel loses less than a cosine, shown by the test
    that was named before the run.
    """
    analysis = Analysis(loaded := store.load(DEMO), table.frame(loaded))
    [asked] = analysis.primary
    assert (asked.first, asked.second) == ("wpse-gaussian-d2", "cosine-d2")
    assert asked.outcome == Outcome.LOWER and asked.estimate.seeds == 3
    assert loaded.expected == len(loaded.results) and not loaded.missing
    assert "| least of any inner product | 1.520 | 0.015 |" in (DEMO / "report.md").read_text()


@pytest.mark.whole
@pytest.mark.parametrize(
    "summary", [DEMO, WORLD.parent, CIFAR10.parent], ids=lambda path: path.parts[-2]
)
def test_a_committed_report_is_rendered_again_from_what_is_committed_with_it(
    kbench, tmp_path, summary
):
    done = kbench("report", summary, "--output", tmp_path, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.md").read_text() == (summary / "report.md").read_text()


@pytest.mark.parametrize(("name", "lines"), [("demo", 14), ("cifar10", 21)])
def test_the_readme_quotes_committed_reports(name, lines):
    report = (ROOT / "results" / name / "summary" / "report.md").read_text()
    readme = (ROOT / "README.md").read_text()
    quoted = readme[readme.index(f"<!-- {name}:begin -->") : readme.index(f"<!-- {name}:end -->")]
    _, _, said = report.partition("\n\n## ")[0].split("\n\n", 2)
    *warnings, answer = said.split("\n\n")
    assert all(f"{warning}\n" in quoted for warning in warnings)
    assert f"> {' '.join(answer.splitlines())}\n" in quoted
    rows = [line for line in quoted.splitlines() if line.startswith("|")]
    assert len(rows) == lines and all(f"{row}\n" in report for row in rows)


def test_the_committed_demo_is_what_it_says(kbench):
    done = kbench("verify", DEMO)
    assert done.returncode == 0, done.stdout
    # The README shows this output.
    assert done.stdout in (ROOT / "README.md").read_text().replace("\n    ", "\n")


def test_gap_and_error_have_one_order_as_the_readme_says():
    """From every score that is committed: Kendall's tau with its interval."""
    frame = pandas.read_csv(ROOT / "results/theory/summary/along.csv")
    frame = frame[frame["metric"].isin(["excess_loss", "acc1"])]
    places = ["samples", "variant", "seed"]
    score = frame.groupby([*places, "task"], sort=False)["value"].mean().unstack("task")
    order = {name: place for place, name in enumerate(dict.fromkeys(frame["variant"]))}
    score = score.sort_index(
        key=lambda level: level.map(order) if level.name == "variant" else level
    )
    readme = (ROOT / "README.md").read_text()
    for task, name in (("zeroshot", "zero-shot"), ("linear_probe", "linear probe")):
        every = [
            downstream.Weights(variant, seed, samples, int(variant.split("-d")[1]), gap, 1 - right)
            for (samples, variant, seed), gap, right in zip(
                score.index, score["pmi_gap"], score[task], strict=True
            )
        ]
        assert len(every) == 108
        taus = downstream.taus(every)
        assert all(tau.low > 0 for tau in taus.values())
        cells = [
            f"{tau.value:.3f} [{tau.low:.3f}, {tau.high:.3f}]"
            for tau in (taus["all"], taus["the same dimension, as many pairs seen"])
        ]
        assert f"| {name} | {cells[0]} | {cells[1]} |" in readme


def test_what_a_seed_changes_is_what_the_table_says():
    """The three parts of a training's spread, from all 25 trainings of the experiment sources."""
    folder = ROOT / "results/sources/summary"
    rows = pandas.read_csv(folder / "table.csv.gz")
    rows = rows[rows["main"].astype(bool)]
    said, factor = {}, {"zeroshot": 100, "pmi_gap": 1}
    for task in factor:
        scores = rows[rows["task"] == task].pivot_table("value", "variant", "seed")
        assert scores.shape == (5, 5)
        said[task] = components(factor[task] * scores.to_numpy())
    readme, docs = (folder / "README.md").read_text(), (ROOT / "docs/statistics.md").read_text()
    for index, name in enumerate(("first weights", "order of the pairs", "both together")):
        points, nats = said["zeroshot"][index], said["pmi_gap"][index]
        assert all(said[task][2].value >= said[task][index].value for task in said)
        cell = f"{points.value:.2f} [{points.low:.2f}, {points.high:.2f}]"
        of_gap = f"{nats.value:.3f} [{nats.low:.3f}, {nats.high:.3f}]"
        assert f"| {name} | {cell} | {of_gap} |" in readme
        shown = f"{points.value:.2f} points" if index == 0 else f"{points.value:.2f}"
        assert f"{shown} [{points.low:.2f}, {points.high:.2f}]" in " ".join(docs.split())


def test_what_a_corpus_changes_is_what_the_table_says():
    """The three parts of a training's spread, from all 25 trainings of the experiment samples, and
    their means beside those of the whole corpus.
    """
    readme = (ROOT / "results/samples/summary/README.md").read_text()
    means = {}
    for experiment in ("samples", "sources"):
        rows = pandas.read_csv(ROOT / f"results/{experiment}/summary/table.csv.gz")
        rows = rows[rows["main"].astype(bool)]
        for task in ("zeroshot", "pmi_gap"):
            scores = rows[rows["task"] == task].pivot_table("value", "variant", "seed")
            assert scores.shape == (5, 5)
            means[experiment, task] = scores.to_numpy()
    parts = [
        components(factor * means["samples", task])
        for task, factor in (("zeroshot", 100), ("pmi_gap", 1))
    ]
    names = ("pairs of the corpus", "everything else", "both together")
    for name, points, nats in zip(names, *parts, strict=True):
        cell = f"{points.value:.2f} [{points.low:.2f}, {points.high:.2f}]"
        of_gap = f"{nats.value:.3f} [{nats.low:.3f}, {nats.high:.3f}]"
        assert f"| {name} | {cell} | {of_gap} |" in readme
    said = " ".join(readme.split())
    for experiment in ("samples", "sources"):
        accuracy, gap = (means[experiment, task].mean() for task in ("zeroshot", "pmi_gap"))
        assert f"{100 * accuracy:.1f} %" in said and f"{gap:.3f} nats" in said


def test_what_the_gap_lets_a_classifier_be_is_what_the_table_says():
    """Every row of the README of the experiment bound, and what follows from them."""
    folder = ROOT / "results/bound/summary"
    rows = pandas.read_csv(folder / "table.csv.gz")
    rows = rows[rows["task"] == "implied_classes"]
    values = rows.pivot_table("value", ["variant", "seed"], "metric").groupby("variant")
    mean, sd = values.mean(), values.std()
    readme, front = (folder / "README.md").read_text(), (ROOT / "README.md").read_text()
    assert len(mean) == 7 and values.size().eq(3).all()
    for variant in mean.index:
        cells = [f"{mean.gap[variant]:.3f} ± {sd.gap[variant]:.3f}"]
        for metric in ("glyph_error", "glyph_bound", "colour_error", "colour_bound"):
            cells.append(f"{100 * mean[metric][variant]:.1f} ± {100 * sd[metric][variant]:.1f}")
        assert f"| {variant} | {' | '.join(cells)} |" in readme
        for attribute in ("glyph", "colour", "size", "background"):
            seeds = values.get_group(variant)
            assert (seeds[f"{attribute}_error"] <= seeds[f"{attribute}_bound"]).all()
    shares = mean.glyph_error / mean.glyph_bound
    others = shares.drop(["cosine-d2", "cosine-d32"])
    assert f"{shares['cosine-d32']:.2f} of it" in readme.replace("\n   ", " ")
    assert f"{others.min():.2f} to {others.max():.2f}" in readme
    assert (mean.colour_error / mean.colour_bound).drop("cosine-d2").max() < 0.01
    for variant in ("cosine-d2", "cosine-d32"):
        assert f"{mean.gap[variant]:.3f} nats" in front
        assert f"{100 * mean.glyph_error[variant]:.1f} %" in front


@pytest.fixture(scope="module")
def zoo():
    """Values of the main metrics, by (variant, task, dataset), at five seeds."""
    rows = pandas.read_csv(ROOT / "results" / "zoo" / "summary" / "table.csv.gz")
    rows = rows[rows.main.astype(bool)]
    assert rows.groupby(["variant", "task", "dataset"]).seed.nunique().eq(5).all()
    return rows.groupby(["variant", "task", "dataset"]).value


def test_readmes_figures_of_the_zoo_are_those_of_its_table(zoo):
    shown = (ROOT / "README.md").read_text().split("experiment=zoo")[1]
    rows = re.findall(
        r"^\| ([\w-]+), ([\w' -]+) \| ([\d.]+) ± ([\d.]+) \| ([\d.]+) ± ([\d.]+) \|", shown, re.M
    )
    objectives = {"SigLIP's loss": "-sigmoid", "DHEL": "-dhel", "spectral loss": "-spectral"}
    assert len(rows) == 8
    for similarity, objective, *said in rows:
        variant = similarity + objectives.get(objective, "")
        gap = zoo.get_group((variant, "pmi_gap", "world-pairs"))
        accuracy = 100 * zoo.get_group((variant, "zeroshot", "world-shape-colour"))
        measured = [gap.mean(), gap.std(), accuracy.mean(), accuracy.std()]
        assert [
            f"{x:.{len(s.partition('.')[2])}f}" for x, s in zip(measured, said, strict=True)
        ] == said


def test_the_zoos_hypotheses(zoo):
    """What its README says of them is what its report's tests say."""
    folder = ROOT / "results" / "zoo" / "summary"
    report = (folder / "report.md").read_text()
    row = r"^\| ([\w-]+), [\w-]+† \| cosine, infonce† \|.*\| (lower|higher) \|"
    asked = report.split("## The question asked")[1].split("##")[0]
    shown = dict(re.findall(row.replace("†", "†?"), asked, re.M))
    nearer = {variant for variant, outcome in shown.items() if outcome == "lower"}
    assert nearer == {"filip", "euclidean", "hyperbolic"}
    farther = {variant.removeprefix("cosine-") for variant in shown} - nearer - {"log-linear"}
    said = (folder / "README.md").read_text()
    [named] = re.findall(r"farther away \(([^)]*)\)", said)
    assert farther == set(re.split(r",\s+", named)) and len(farther) == 7
    ends = re.findall(r"^† (.*): learning\\?_rate", report, re.M)
    assert sum(len(re.split(r", [\w-]+(?:, | and |$)", line)) - 1 for line in ends[:2]) == 7


def test_what_came_after_the_zoo_is_what_its_table_and_its_report_say():
    """Every row of the README, its tests, and the zoo's cosine trained again elsewhere."""
    folder = ROOT / "results/zoo-more/summary"
    rows = pandas.read_csv(folder / "table.csv.gz")
    main = rows[rows.main.astype(bool)].groupby(["task", "dataset", "variant"]).value
    assert main.count().eq(5).all()
    mean, sd = main.mean(), main.std()
    readme, report = (folder / "README.md").read_text(), (folder / "report.md").read_text()
    gap, right = ("pmi_gap", "world-pairs"), ("zeroshot", "world-shape-colour")
    for variant in ("cosine", "prolip", "pcme", "flair"):
        nats = f"{mean[*gap, variant]:.3f} ± {sd[*gap, variant]:.3f}"
        points = f"{100 * mean[*right, variant]:.1f} ± {100 * sd[*right, variant]:.1f}"
        assert f"| {variant} | {nats} | {points} |" in readme
    asked = report.split("## The question asked")[1].split("##")[0]
    said = " ".join(readme.split())
    row = r"^\| (\w+) \| cosine \| (\S+) \| .* \| (0\.\d+) \| 5 \| no difference shown \| (\S+) \|"
    shown = {variant: figures for variant, *figures in re.findall(row, asked, re.M)}
    assert shown.keys() == {"prolip", "pcme", "flair"}
    for variant in ("prolip", "flair"):
        difference, p, detectable = shown[variant]
        assert all(f"{x}" in said for x in (f"{difference} nats", f"p = {p}", f"{detectable} nats"))
    assert re.search(r"\| pcme \| prolip† \| −0.046 \|.*\| 0.43 \| 5 \| no difference", report)


def test_trainings_of_another_machine_and_of_other_code_are_equal_to_the_last_bit():
    """Five runs of the zoo are in zoo-more under the same names."""
    first, second = (
        pandas.read_csv(ROOT / f"results/{name}/summary/table.csv.gz")
        for name in ("zoo", "zoo-more")
    )
    both = first.merge(second, on=["run", "dataset", "task", "metric"], suffixes=("", "_again"))
    assert len(both) == 120 and both.run.nunique() == 5
    for column in ("value", "checkpoint_sha256"):
        assert (both[column] == both[f"{column}_again"]).all()
    for column in ("machine", "training_code"):
        assert (both[column] != both[f"{column}_again"]).all()


def test_what_a_search_changes_is_what_the_table_says():
    """The three parts of a training's spread, from all 25 trainings of the experiment searches, and
    what the five searches chose.
    """
    folder = ROOT / "results/searches/summary"
    rows = pandas.read_csv(folder / "table.csv.gz")
    rows = rows[rows["main"].astype(bool)]
    readme, docs = (folder / "README.md").read_text(), (ROOT / "docs/statistics.md").read_text()
    parts = []
    for task, factor in (("zeroshot", 100), ("pmi_gap", 1)):
        scores = rows[rows["task"] == task].pivot_table("value", "variant", "seed")
        assert scores.shape == (5, 5)
        parts.append(components(factor * scores.to_numpy()))
    names = ("settings that a search chose", "everything else", "both together")
    for name, points, nats in zip(names, *parts, strict=True):
        cell = f"{points.value:.2f} [{points.low:.2f}, {points.high:.2f}]"
        of_gap = f"{nats.value:.3f} [{nats.low:.3f}, {nats.high:.3f}]"
        assert f"| {name} | {cell} | {of_gap} |" in readme
    points, nats = (of_task[0] for of_task in parts)
    said = " ".join(docs.split())
    assert f"{points.value:.2f} points [{points.low:.2f}, {points.high:.2f}]" in said
    assert f"{nats.value:.3f} nats [{nats.low:.3f}, {nats.high:.3f}]" in said
    searches = json.loads((folder / "tuning.json").read_text())["variants"].values()
    chosen = sorted(search["chosen"]["learning_rate"] for search in searches)
    assert chosen == [0.001, 0.001, 0.002, 0.003, 0.003]
    apart = [sorted(tried["held_out_loss"] for tried in search["tried"]) for search in searches]
    assert f"{min(losses[1] - losses[0] for losses in apart):.3f} nats" in readme
