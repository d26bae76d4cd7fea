"""The statistics against closed forms, scipy and simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from synthetic import run_name, write_experiment

from kbench.errors import UserError
from kbench.results import samples, store, table
from kbench.results.interval import LEAST_P, Error
from kbench.results.pairs import Pairs, estimate, groups_of_runs, holm
from kbench.results.summary import Scores
from kbench.results.variance import Components, Variance, _training, crossed


def load(folder):
    loaded = store.load(folder)
    frame = table.frame(loaded)
    scores, groups = Scores(frame), groups_of_runs(frame)
    return loaded, scores, Pairs(loaded, scores, groups), groups


def null_scores(generator, seeds, images, seed_sd):
    """Return the scores (S, N) of two equally good variants: images, seeds and variants all
    matter.
    """
    shared = generator.normal(size=images)
    right = []
    for _ in range(2):
        logit = 1.0 + shared + 0.7 * generator.normal(size=images)
        logit = logit + seed_sd * generator.normal(size=(seeds, 1))
        right.append(generator.random((seeds, images)) < 1 / (1 + np.exp(-logit)))
    return right[0].astype(float), right[1].astype(float)


def of_differences(differences, paired=True):
    """Return the estimate from differences (S, N) of paired seeds."""
    return estimate([(differences, np.zeros_like(differences))], paired)


def test_holm_by_hand():
    assert holm([0.01, None, 0.04, 0.03]) == pytest.approx([0.03, None, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([float("nan"), 0.02]) == [None, 0.02]


def test_without_single_images_it_is_the_paired_t_test():
    generator = np.random.default_rng(1)
    differences = generator.normal(0.5, 1, size=(6, 1))
    found = of_differences(differences)
    expected = stats.ttest_1samp(differences[:, 0], 0)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))
    assert found.covers_training and not found.covers_sampling


def test_one_seed_is_mcnemar_and_says_so():
    differences = np.array([[1.0] * 9 + [-1.0] * 2 + [0.0] * 50])
    found = of_differences(differences)
    assert found.p == pytest.approx(stats.binomtest(9, 11).pvalue)
    assert not found.covers_training and found.covers_sampling


def test_one_seed_without_single_images_is_not_tested():
    assert of_differences(np.array([[0.3]])) is None


def test_equal_predictions_do_not_differ():
    found = of_differences(np.zeros((3, 50)))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_unpaired_seeds_lie_between_welch_and_student():
    generator = np.random.default_rng(2)
    for _ in range(50):
        first, second = generator.normal(size=4), 3 * generator.random() * generator.normal(size=3)
        found = estimate([(first[:, None], second[:, None])])
        tests = [stats.ttest_ind(first, second, equal_var=equal) for equal in (True, False)]
        error = abs(found.value) / abs(tests[1].statistic)
        assert found.error.trainings == pytest.approx(error**2)
        assert tests[1].df - 1e-9 <= found.error.freedom <= tests[0].df
        assert found.seeds == 3


def test_each_source_has_its_own_quantile():
    error = Error(trainings=2.0, freedom=3.0, samples=1.0, samples_freedom=15)
    of_seeds, of_samples = stats.t.ppf(0.975, [3, 15])
    assert error.half_width(0.05) == pytest.approx((2 * of_seeds + of_samples) / np.sqrt(3))
    for p in (0.9, 0.05, 1e-6):
        assert error.p_value(error.half_width(p)) == pytest.approx(p)
    assert error.p_value(0.0) == 1.0 and error.p_value(1e30) == LEAST_P


@given(
    shares=st.tuples(st.floats(0, 1), st.floats(1e-12, 1e3)),
    freedoms=st.tuples(st.floats(1, 1e4), st.floats(1, 1e9)),
    level=st.floats(LEAST_P * 2, 1 - 1e-9),
)
def test_the_p_value_is_the_level_whose_interval_ends_at_nothing(shares, freedoms, level):
    share, total = shares
    error = Error(share * total, freedoms[0], (1 - share) * total, freedoms[1])
    assert error.p_value(error.half_width(level)) == pytest.approx(level, rel=1e-6)
    one = Error(total, freedoms[0])
    student = 2 * stats.t.sf(1.5, freedoms[0])
    assert one.p_value(1.5 * np.sqrt(total)) == pytest.approx(student, rel=1e-9)


def test_seeds_that_all_tie_leave_the_images():
    first, second = np.ones((3, 40)), np.ones((3, 40))
    second[:, :4] = 0
    found = estimate([(first, second)])
    assert found.value == pytest.approx(0.1) and 0.01 < found.p < 0.05


def test_one_seed_alone_rejects_too_often_when_trainings_vary():
    """Why a report must say that one seed does not cover training."""
    generator = np.random.default_rng(3)
    found = [estimate([null_scores(generator, 1, 500, 0.5)]) for _ in range(200)]
    assert np.mean([result.p < 0.05 for result in found]) > 0.3


def test_family_wise_error_with_holm():
    generator = np.random.default_rng(4)
    rounds, families = 200, 0
    for _ in range(rounds):
        family = [estimate([null_scores(generator, 5, 100, 0.5)]).p for _ in range(6)]
        families += min(holm(family)) < 0.05
    assert families <= stats.binom.ppf(0.999, rounds, 0.05)


def test_a_real_difference_is_found_and_covered():
    generator = np.random.default_rng(5)
    covered = found = 0
    for _ in range(100):
        differences = (
            0.1 + 0.02 * generator.normal(size=(5, 1)) + 0.3 * generator.normal(size=(5, 400))
        )
        result = of_differences(differences)
        covered += result.low <= 0.1 <= result.high
        found += result.p < 0.05
    assert covered >= 90 and found >= 95


def test_average_over_datasets_has_the_variance_of_a_mean():
    generator = np.random.default_rng(6)
    one, other = (null_scores(generator, 1, 300, 0.0) for _ in range(2))
    found = estimate([one, other])
    apart = [first - second for first, second in (one, other)]
    error = np.sqrt(sum(difference.var(ddof=1) / 300 for difference in apart)) / 2
    assert found.value == pytest.approx(np.mean([difference.mean() for difference in apart]))
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 598) * error)


def test_pairs_of_an_experiment(tmp_path):
    abilities = {"cosine": 3.0, "filip": 3.0, "wpse-linear": -1.0}
    folder = write_experiment(tmp_path / "made-up", abilities, seeds=(0, 1, 2, 3))
    _, scores, pairs, _ = load(folder)
    columns = scores.columns("zeroshot")
    assert len(columns) == 3 and {column.metric for column in columns} == {"acc1"}
    found = {(pair.first, pair.second): pair for pair in pairs.on_average(columns)}
    assert len(found) == 3
    far = next(
        pair for names, pair in found.items() if names[1] == "wpse-linear" and names[0] == "cosine"
    )
    expected = scores.average("cosine", columns).mean - scores.average("wpse-linear", columns).mean
    assert far.estimate.value == pytest.approx(expected) and far.significant
    assert far.estimate.covers_training and far.estimate.covers_sampling
    near = next(pair for names, pair in found.items() if set(names) == {"cosine", "filip"})
    assert not near.significant
    assert len(pairs.on_each(columns)) == 9


def test_a_missing_cell_leaves_its_seed_out(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 2.0, "filip": 1.0}, seeds=(0, 1, 2))
    (folder / "runs" / run_name("filip", 1) / "evaluation/world-size/zeroshot.json").unlink()
    _, scores, pairs, _ = load(folder)
    columns = scores.columns("zeroshot")
    assert set(scores.average("filip", columns).values) == {0, 2}
    assert scores.average("cosine", columns).n == 3
    assert pairs.on_average(columns)[0].estimate.seeds == 2


def test_scores_of_images_average_to_the_metric(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, n_test=37)
    loaded, *_ = load(folder)
    for result in loaded.results:
        for metric in result.metrics:
            scores = samples.per_sample(loaded, result, metric.name)
            if metric.unit == "correlation":
                assert scores is None
            else:
                assert scores.shape == (37,) and scores.mean() == pytest.approx(metric.value)


def test_captions_of_one_image_are_one_sample(tmp_path):
    """Five copies of every caption know no more than one: the interval must not shrink."""

    def compared(copies):
        folder = write_experiment(
            tmp_path / str(copies), {"cosine": 1.0, "filip": 0.8}, datasets=("world-retrieval",)
        )
        for path in folder.glob("runs/*/evaluation/world-retrieval/retrieval.npz"):
            arrays = dict(np.load(path))
            first = np.unique(arrays["caption_images"], return_index=True)[1]
            ranks = np.repeat(arrays["text_to_image_ranks"][:, first], copies, axis=1)
            owners = np.repeat(arrays["caption_images"][first], copies)
            np.savez(path, **arrays | {"text_to_image_ranks": ranks, "caption_images": owners})
            document = json.loads(path.with_suffix(".json").read_text())
            for metric in document["metrics"]:
                if metric["name"].startswith("image"):
                    metric["value"] = float((ranks < int(metric["name"].split("@")[1])).mean())
            path.with_suffix(".json").write_text(json.dumps(document))
        _, scores, pairs, _ = load(folder)
        return pairs.on_average(scores.columns("retrieval"))[0].estimate

    one, five = compared(1), compared(5)
    assert one.covers_sampling and five.covers_sampling
    assert (five.value, five.low, five.high, five.p) == pytest.approx(
        (one.value, one.low, one.high, one.p)
    )


def test_retrieval_arrays_that_do_not_fit(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, datasets=("world-retrieval",))
    loaded, *_ = load(folder)
    path = Path(loaded.arrays(loaded.results[0]))
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"caption_images": arrays["caption_images"][:-1]})
    with pytest.raises(UserError, match="do not fit each other"):
        samples.per_sample(loaded, loaded.results[0], "image_retrieval_recall@5")


def test_a_difference_that_is_no_success_is_not_tested_by_its_sign():
    """Many small losses and a few large gains: the mean does not differ, though most signs
    agree.
    """
    difference = np.where(np.arange(200) % 4 == 0, 3.0, -1.0)[None]
    found = of_differences(difference)
    assert found.value == 0 and found.p == 1 and not found.covers_training


def test_predictions_of_another_result_are_refused(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 3.0, "filip": -3.0})
    there, here = (
        folder / "runs" / run_name(name, 0) / "evaluation/world-shape/zeroshot.npz"
        for name in ("cosine", "filip")
    )
    here.write_bytes(there.read_bytes())
    loaded, *_ = load(folder)
    wanted = ("filip", "world-shape", "zeroshot")
    result = next(r for r in loaded.results if (r.variant, r.dataset, r.task) == wanted)
    with pytest.raises(UserError, match="does not belong to the result beside it"):
        samples.per_sample(loaded, result, "acc1")


def test_damaged_predictions(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 3.0})
    path = folder / "runs" / run_name("cosine", 0) / "evaluation/world-colour/zeroshot.npz"
    path.write_bytes(path.read_bytes()[:100])
    loaded, *_ = load(folder)
    result = next(r for r in loaded.results if r.dataset == "world-colour" and r.task == "zeroshot")
    with pytest.raises(UserError, match=r"zeroshot\.npz"):
        samples.per_sample(loaded, result, "acc1")


def test_variance_by_source(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, seeds=(0, 1, 2))
    loaded, scores, pairs, groups = load(folder)
    variance = Variance(loaded, scores, pairs, groups)
    column = next(c for c in scores.columns("zeroshot") if c.dataset == "world-shape")
    part = variance.components("cosine", column)
    metrics = [
        next(m for m in result.metrics if m.name == "acc1")
        for result in loaded.results
        if (result.dataset, result.task) == ("world-shape", "zeroshot")
    ]
    assert part.draw == pytest.approx(np.mean([m.draw_sd**2 for m in metrics]))
    assert part.between == pytest.approx(np.var([m.value for m in metrics], ddof=1))
    assert part.draws == pytest.approx(part.draw / 3)
    singles = np.stack([pairs.sample("cosine", seed, column) for seed in (0, 1, 2)])
    assert (part.together, part.images) == crossed(singles)
    split = variance.split("cosine", [column])
    left = max(0, part.between - part.together - part.draws)
    assert split.training.value == pytest.approx(left**0.5)
    assert split.draw == pytest.approx(part.draw**0.5)
    assert split.training.low <= split.training.value <= split.training.high


def test_components_are_those_of_the_analysis_of_variance():
    """Mean squares of the crossed table, written out."""
    scores = np.random.default_rng(0).normal(size=(4, 50)) + np.arange(50) / 9
    mean = scores.mean()
    images = 4 * sum((scores[:, i].mean() - mean) ** 2 for i in range(50)) / 49
    rest = sum(
        (scores[s, i] - scores[s].mean() - scores[:, i].mean() + mean) ** 2
        for s in range(4)
        for i in range(50)
    ) / (3 * 49)
    together, of_images = crossed(scores)
    assert together == pytest.approx(rest / 50)
    assert of_images == pytest.approx((images - rest) / 4 / 50)


def test_a_source_that_is_not_there_is_not_shown_as_one():
    """Averages over datasets before anything is cut off at 0: true seed sd 0, binary scores."""
    generator = np.random.default_rng(0)
    parts = []
    for _ in range(400):
        chances = generator.beta(2, 2, 300)
        scores = (generator.random((3, 300)) < chances).astype(float)
        together, images = crossed(scores)
        parts.append(Components(scores.mean(1).var(ddof=1), together, 0.0, None, images))
    # Without the rest taken out it would be 2.6 points.
    assert _training(parts, 3).value < 0.006
    assert np.mean([part.between for part in parts]) ** 0.5 > 0.02


@pytest.mark.whole
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("sd", [0.01, 0.05])
def test_intervals_of_the_seeds_spread_cover_it(seeds, sd):
    generator, covered = np.random.default_rng(0), []
    for _ in range(4000):
        trainings = sd * generator.normal(size=(seeds, 1))
        scores = (
            trainings + 0.3 * generator.normal(size=300) + 0.1 * generator.normal(size=(seeds, 300))
        )
        together, images = crossed(scores)
        part = Components(scores.mean(1).var(ddof=1), together, 0.0, None, images)
        spread = _training([part], seeds)
        covered.append(spread.low <= sd <= spread.high)
    assert 0.935 <= np.mean(covered) <= 0.97


def test_variance_that_is_unknown_is_none(tmp_path):
    folder = write_experiment(tmp_path / "made-up", {"cosine": 1.0}, seeds=(0,))
    loaded, scores, pairs, groups = load(folder)
    variance = Variance(loaded, scores, pairs, groups)
    for path in folder.glob("runs/*/evaluation/world-pairs/pmi_gap.npz"):
        path.unlink()
    probe = variance.split("cosine", scores.columns("linear_probe")[:1])
    assert probe.training is None and probe.together is None and probe.draw is None
    assert probe.images > 0
    gap = variance.split("cosine", scores.columns("pmi_gap")[:1])
    assert (gap.training, gap.together, gap.draw, gap.images) == (None, None, None, None)
    assert variance.split("nobody", scores.columns("zeroshot")).training is None
