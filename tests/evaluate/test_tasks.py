"""Tasks against brute force and against the unmodified peers."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import reference
from sklearn.linear_model import LogisticRegression

from kbench import tasks
from kbench.datasets.dataset import get
from kbench.errors import UserError
from kbench.evaluate import scoring, store
from kbench.measures import accuracy, logistic
from kbench.measures.labelled_features import Features
from kbench.measures.logistic import GRID
from kbench.measures.regression import TOLERANCE, Regression
from kbench.measures.settings import LinearProbeSettings
from kbench.records.documents import TaskResult
from kbench.tasks import retrieval, zeroshot


def test_ranks_against_a_full_sort(trained, monkeypatch):
    run = trained[1]
    features = store.Reader(run.features("world-retrieval"))
    owners = np.asarray(features.array("test/caption_images"))
    sides = (
        features.representation(f"test/{side}", 1)["features"].double()
        for side in ("images", "captions")
    )
    scores = run.similarity.compare(*({"features": side} for side in sides)).float()
    monkeypatch.setattr(retrieval, "ROWS", 7)
    monkeypatch.setattr(retrieval, "COLUMNS", 33)
    image_to_text, text_to_image = (
        lowest for lowest, _ in retrieval.retrieval_ranks(run, features, 1)
    )
    for caption, owner in enumerate(owners):
        order = scores[:, caption].argsort(descending=True).tolist()
        assert order.index(owner) == text_to_image[caption]
    for image in range(len(scores)):
        best = max(scores[image, caption] for caption in np.flatnonzero(owners == image))
        better = [
            caption for caption in np.flatnonzero(owners != image) if scores[image, caption] >= best
        ]
        assert len(better) == image_to_text[image]


def test_a_row_says_how_much_of_its_recall_depends_on_ties(trained):
    stored = json.loads(
        (trained[1].folder / "evaluation" / "world-retrieval" / "retrieval.json").read_text()
    )
    for metric in stored["metrics"]:
        assert metric["value"] <= stored["settings"][f"{metric['name']}_highest"]
    kept = np.load(trained[1].folder / "evaluation" / "world-retrieval" / "retrieval.npz")
    for asked, side in (("image_to_text", "text"), ("text_to_image", "image")):
        lowest, highest = kept[f"{asked}_ranks"], kept[f"{asked}_ranks_highest"]
        assert (highest <= lowest).all()
        assert stored["settings"][f"{side}_retrieval_tied"] == np.mean(highest < lowest)


def test_ties_are_told_in_both_directions():
    text, image = np.array([[[3, 0, 5]], [[0, 0, 5]]]), np.array([[[1]], [[0]]])
    said = retrieval._ties({"text": text, "image": image})
    assert said["text_retrieval_tied"] == pytest.approx(1 / 3) and said["image_retrieval_tied"] == 1
    assert said["text_retrieval_recall@1_highest"] == pytest.approx(2 / 3)
    assert said["image_retrieval_recall@1_highest"] == 1


def test_ranks_of_all_draws_are_kept(trained):
    for run, draws in zip(trained, (1, 2), strict=True):
        kept = np.load(run.folder / "evaluation" / "world-retrieval" / "retrieval.npz")
        for name, queries in (("image_to_text_ranks", 32), ("text_to_image_ranks", 160)):
            assert kept[name].shape == (draws, queries)
        assert kept["caption_images"].tolist() == np.repeat(np.arange(32), 5).tolist()


def test_results_are_complete_and_undefined_metrics_are_null(trained):
    for run in trained:
        for dataset in ("world-shape", "world-digits", "world-retrieval", "world-pairs"):
            for task in tasks.of(get(dataset), None):
                path = run.folder / "evaluation" / dataset / f"{task}.json"
                result = TaskResult.model_validate(json.loads(path.read_text()))
                assert result.provenance.checkpoint_sha256 == run.card.checkpoint_sha256
                assert [m.name for m in result.metrics if m.main] == [get(dataset).main_metric]
    draws = {metric.name: metric.draws for metric in result.metrics}
    assert len(draws["excess_loss"]) == 2


def test_zero_shot_keeps_every_draw(trained):
    kept = np.load(trained[1].folder / "evaluation" / "world-shape" / "zeroshot.npz")
    assert kept["predictions"].shape == (2, 64) and kept["scores"].shape == (64, 6)
    assert (kept["scores"].argmax(axis=1) == kept["prediction"]).all()
    assert (kept["predictions"][0] == kept["prediction"]).all()
    scores = zeroshot.class_scores(trained[1], store.Reader(trained[1].features("world-shape")), 1)
    assert (scores.argmax(axis=1) == kept["predictions"][1]).all()


def test_zero_shot_over_few_classes_with_one_absent(copied_features):
    """Three classes, of which the test images show two: everything is defined or null, nothing
    NaN.
    """
    run, reader = copied_features
    reader.array = lambda name, read=reader.array: {
        "test/targets": np.where(read("test/targets") > 2, 0, 2),
        "prompt_classes": np.repeat(np.arange(3), 6),
    }.get(name, read(name))
    outcome = score("zeroshot", run, reader)
    metrics = {metric.name: metric for metric in scoring.metrics("zeroshot", "acc1", outcome)}
    assert metrics["acc5"].value is None and not metrics["acc5"].draws
    targets, predictions = outcome.arrays["target"], outcome.arrays["predictions"]
    recalls = [np.mean([np.mean(p[targets == c] == c) for c in (0, 2)]) for p in predictions]
    assert metrics["mean_per_class_recall"].draws == pytest.approx(recalls)
    assert metrics["mean_per_class_recall"].value == pytest.approx(np.mean(recalls))
    assert metrics["mean_per_class_recall"].draw_sd == pytest.approx(np.std(recalls, ddof=1))
    assert outcome.arrays["scores"].dtype == np.float32


def score(task, run, features):
    """Score as an evaluation does, without settings to write down."""
    with torch.inference_mode():
        return tasks.get(task).score(run, features, None, device="cpu")


@pytest.fixture
def copied_features(trained, monkeypatch):
    """The kernel variant's run and its features, whose settings in results are left out."""
    monkeypatch.setattr(zeroshot, "random_feature_settings", lambda run, evaluation: {})
    return trained[1], store.Reader(trained[1].features("world-shape"))


def test_no_score_beats_pmi_and_pmi_itself_has_no_gap(trained):
    features = store.Reader(trained[0].features("world-pairs"))
    outcome = score("pmi_gap", trained[0], features)
    assert outcome.average("excess_loss").value > 0
    assert outcome.arrays["pmi"].min() > -3.6 and outcome.settings["loss_of_pmi"] > 0
    assert outcome.arrays["singular_values"].shape == (512,)
    # 346 scenes, and the mean that is taken out.
    assert (outcome.arrays["pmi_singular_values"][347:] < 1e-9).all()


class TestAccuracy:
    def test_ties_count_against_the_target(self):
        scores = np.zeros((4, 10))
        assert accuracy.top_k(scores, np.arange(4), 5) == 0.0
        scores[np.arange(4), np.arange(4)] = 1
        assert accuracy.top_k(scores, np.arange(4), 1) == 1.0

    def test_few_classes_have_no_top_five(self):
        assert accuracy.top_k(np.eye(4), np.arange(4), 5) is None
        assert accuracy.top_k(np.eye(5), np.arange(5), 5) == 1.0
        assert accuracy.top_k(np.eye(6), np.arange(6), 5) == 1.0

    def test_absent_classes_do_not_make_recall_undefined(self):
        assert accuracy.mean_per_class_recall(np.array([0, 0, 2]), np.array([0, 0, 7])) == 0.5

    @given(st.integers(0, 2**32 - 1), st.integers(6, 12))
    @settings(max_examples=30, deadline=None)
    def test_top_k_against_a_sort(self, seed, classes):
        generator = np.random.default_rng(seed)
        scores, targets = generator.normal(size=(20, classes)), generator.integers(0, classes, 20)
        best = np.argsort(-scores, axis=1)[:, :5]
        assert accuracy.top_k(scores, targets, 5) == pytest.approx(
            np.mean([t in b for t, b in zip(targets, best, strict=True)])
        )


@pytest.fixture(scope="module")
def splits():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(4, 12))

    def split(size):
        labels = generator.integers(0, 4, size)
        return Features(centres[labels] + generator.normal(size=(size, 12)) * 1.5, labels)

    return split(200), split(100), split(150)


def overlapping(seed):
    """Return two splits of classes that no C tells apart, and most tell nearly as well."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, 6000)
    x = generator.normal(size=(4, 16))[labels] + 2.0 * generator.normal(size=(6000, 16))
    return Features(x[:3000], labels[:3000]), Features(x[3000:], labels[3000:])


class TestProbe:
    def test_it_is_scikit_learns_regression_at_the_chosen_c(self, splits):
        train, val, test = splits
        result = logistic.probe(train, val, test, LinearProbeSettings(), "acc1")
        x, y = np.concatenate([train.x, val.x]), np.concatenate([train.y, val.y])
        model = reference(x, y, result.C)
        assert (model.predict(test.x) == result.predictions).all() and result.converged
        assert result.acc1 == pytest.approx(model.score(test.x, test.y))

    def test_the_search_finds_what_the_whole_grid_has_and_ties_go_to_the_smallest(self, splits):
        train, val, test = splits
        result = logistic.probe(train, val, test, LinearProbeSettings(), "acc1")
        scores = [reference(train.x, train.y, c).score(val.x, val.y) for c in GRID]
        tried = {one.C: one.value for one in result.path}
        assert all(tried[c] == pytest.approx(scores[np.argmin(abs(GRID - c))]) for c in tried)
        assert tried[result.C] == max(tried.values())
        assert min(c for c, value in tried.items() if value == max(tried.values())) == result.C

    @pytest.mark.parametrize("seed", range(4))
    def test_near_ties_are_decided_as_by_exact_fits(self, seed):
        """Where many C do nearly as well, one held-out sample decides, and which way it goes
        depends on the solver.
        """
        train, val = overlapping(seed)

        def exactly(strengths):
            fits = [
                LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12).fit(train.x, train.y)
                for c in strengths
            ]
            return [
                logistic.Tried(c, fit.score(val.x, val.y), 0, True)
                for c, fit in zip(strengths, fits, strict=True)
            ]

        best, path = logistic.search(LinearProbeSettings().strides, exactly)
        result = logistic.probe(train, val, val, LinearProbeSettings(), "acc1")
        assert result.C == best.C
        assert sum(best.value - tried.value < 0.002 for tried in path) > 5

    def test_fits_that_cannot_win_are_left_as_they_are(self, monkeypatch):
        calls, fit = [], Regression.fit

        def watched(self, strengths, start=None, tolerance=TOLERANCE):
            calls.append((list(strengths), tolerance))
            return fit(self, strengths, start, tolerance)

        monkeypatch.setattr(Regression, "fit", watched)
        train, val = overlapping(0)
        result = logistic.probe(train, val, val, LinearProbeSettings(), "acc1")
        assert calls[0] == (
            [float(GRID[i]) for i in range(0, 97, LinearProbeSettings().strides[0])],
            1e-7,
        )
        assert calls[-1] == ([result.C], TOLERANCE)
        exact = {C for strengths, tolerance in calls[:-1] for C in strengths if tolerance < 1e-7}
        values = {tried.C: tried.value for tried in result.path}
        assert exact and exact < values.keys()
        assert max(values[C] for C in values.keys() - exact) <= values[result.C]
        assert min(values[C] for C in exact) > values[result.C] - 0.05

    def test_candidates_are_coarse_to_fine(self):
        assert logistic.candidates(16, None) == [0, 16, 32, 48, 64, 80, 96]
        assert logistic.candidates(8, 40) == [16, 24, 32, 40, 48, 56, 64]

    def test_at_the_edge_of_the_grid_the_window_shifts_and_keeps_its_seven_values(self):
        """A best C at an end of the grid takes 19 values to find; a window cut off there would try
        15.
        """
        assert logistic.candidates(8, 16) == [0, 8, 16, 24, 32, 40, 48]
        assert logistic.candidates(1, 96) == [90, 91, 92, 93, 94, 95, 96]
        for best in (0, 96):
            tried = []

            def judge(strengths, best=best, tried=tried):
                tried.extend(strengths)
                return [logistic.Tried(C, -abs(np.log(C / GRID[best])), 1, True) for C in strengths]

            found, _ = logistic.search(LinearProbeSettings().strides, judge)
            assert GRID[best] == found.C and len(tried) == len(set(tried)) == 19

    def test_command_writes_the_documented_json(self, kbench, splits, tmp_path):
        names = ("train", "val", "test")
        arrays = {
            f"{n}_{k}": getattr(s, k) for n, s in zip(names, splits, strict=True) for k in "xy"
        }
        np.savez(tmp_path / "f.npz", **arrays)
        process = kbench(
            "linear-probe", "--features", tmp_path / "f.npz", "--output", tmp_path / "r.json"
        )
        assert process.returncode == 0, process.stderr
        result = json.loads((tmp_path / "r.json").read_text())
        assert result["acc1"] == logistic.probe(*splits, LinearProbeSettings(), "acc1").acc1
        assert {"C", "mean_per_class_recall", "converged", "path"} <= result.keys()

    def test_command_stops_as_released_if_asked_to(self, kbench, refused, splits, tmp_path):
        train, _, test = splits
        arrays = {"train_x": train.x, "train_y": train.y, "test_x": test.x, "test_y": test.y}
        np.savez(tmp_path / "f.npz", **arrays)
        options = ("--features", tmp_path / "f.npz", "--output", tmp_path / "r.json")
        chosen = ("--tolerance", "1e-4", "--held-out", "stratified")
        process = kbench("linear-probe", *options, *chosen)
        assert process.returncode == 0, process.stderr
        result = json.loads((tmp_path / "r.json").read_text())
        assert (result["tolerance"], result["held_out"]) == (1e-4, "stratified")
        settings = LinearProbeSettings(tolerance=1e-4)
        assert result["C"] == logistic.probe(train, None, test, settings, "acc1", "stratified").C
        refused(
            kbench("linear-probe", *options, "--tolerance", "-1"),
            "--tolerance -1.0",
            "greater than 0",
        )

    @pytest.mark.parametrize("label", [-1, 7, 2**40])
    def test_labels_that_train_has_not_are_refused(self, splits, label):
        train, val, test = splits
        odd = Features(test.x, np.where(np.arange(len(test)) == 3, label, test.y))
        with pytest.raises(
            UserError, match=f"test has 1 labels that train has not, the first {label}; train has 4"
        ):
            logistic.probe(train, val, odd, LinearProbeSettings(), "acc1")

    def test_bad_input_leaves_no_output(self, kbench, refused, splits, tmp_path):
        def attempt(**arrays):
            np.savez(tmp_path / "f.npz", **arrays)
            return kbench(
                "linear-probe", "--features", tmp_path / "f.npz", "--output", tmp_path / "r.json"
            )

        x, y = splits[0].x, splits[0].y
        refused(attempt(train_x=x, train_y=y, test_x=x), "lacks test_y")
        refused(attempt(train_x=x, train_y=y[:-1], test_x=x, test_y=y), "do not fit")
        refused(attempt(train_x=x * np.nan, train_y=y, test_x=x, test_y=y), "not finite")
        refused(attempt(train_x=x, train_y=y * 0, test_x=x, test_y=y), "at least two classes")
        refused(
            attempt(train_x=x, train_y=y, test_x=x[:, 1:], test_y=y),
            "different numbers of features",
        )
        (tmp_path / "f.npz").write_text("no archive")
        refused(
            kbench(
                "linear-probe", "--features", tmp_path / "f.npz", "--output", tmp_path / "r.json"
            ),
            "cannot read",
        )
        assert not (tmp_path / "r.json").exists()

    def test_features_of_different_lengths_are_refused(self):
        with pytest.raises(UserError, match="do not fit"):
            Features(np.zeros((3, 2)), np.zeros(2, dtype=int))
