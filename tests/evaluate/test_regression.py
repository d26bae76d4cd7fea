"""Logistic regression: scikit-learn's optimum, whatever the data, the chunks and the precision."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import objective, reference

from kbench import memory
from kbench.bench import measure
from kbench.errors import UserError
from kbench.measures import lbfgs, passes
from kbench.measures.labelled_features import Features
from kbench.measures.regression import Regression


def features(classes, size=400, width=12, spread=1.5, seed=0, offset=0.0):
    """Normal classes, labelled 3, 4, ...: labels need not begin with 0."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, size)
    labels[:classes] = np.arange(classes)
    x = (
        generator.normal(size=(classes, width))[labels]
        + spread * generator.normal(size=(size, width))
        + offset
    )
    return Features(x.astype(np.float32), labels + 3)


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("C", [1e-6, 1e-3, 1.0, 1e3])
    @pytest.mark.parametrize("classes", [2, 7])
    @pytest.mark.parametrize("balanced", [False, True])
    def test_objective_and_predictions(self, C, classes, balanced):
        data, fresh = features(classes), features(classes, seed=0, size=900)
        (fit,) = Regression([data], balanced).fit([C])
        model = reference(data.x, data.y, C, balanced)
        theirs = objective(model, data.x, data.y, C, balanced)
        assert fit.converged and fit.objective <= theirs * (1 + 1e-6)
        if C <= 1:
            assert fit.objective == pytest.approx(theirs, rel=1e-6)
        assert np.mean(model.predict(fresh.x.astype(np.float64)) == fit.predict(fresh)) >= 0.998

    @given(
        seed=st.integers(0, 2**32 - 1),
        classes=st.integers(2, 6),
        width=st.integers(1, 30),
        exponent=st.floats(-6, 6),
        scale=st.sampled_from([1e-2, 1.0, 30.0]),
        offset=st.sampled_from([0.0, 1e3]),
    )
    @settings(max_examples=25, deadline=None)
    def test_any_data_at_any_c(self, seed, classes, width, exponent, scale, offset):
        data = features(classes, size=60, width=width, spread=0.7, seed=seed, offset=offset)
        data, C = Features(data.x * np.float32(scale), data.y), 10.0**exponent
        (fit,) = Regression([data]).fit([C])
        # A feature for the mean, which the penalty would see, is taken away: scikit-learn then gets
        # further.
        centred = data.x.astype(np.float64) - data.x.mean(axis=0, dtype=np.float64)
        assert fit.converged
        assert fit.objective <= objective(reference(centred, data.y, C), centred, data.y, C) * (
            1 + 1e-5
        )
        # At the minimum the gradient vanishes: weights = C sum_i residual_i x_i, and residuals of
        # each class cancel.
        x, one_hot = (
            torch.from_numpy(data.x).double(),
            torch.from_numpy(np.eye(classes)[data.y - 3]),
        )
        residuals = one_hot - (x @ fit.weights.T + fit.bias).softmax(1)
        assert float(residuals.sum(0).abs().max()) < 1e-3 * len(x)

    def test_no_useless_c_looks_good_in_single_precision(self):
        generator = np.random.default_rng(1)
        labels = np.repeat([0, 1], [508, 492])
        x = generator.normal(size=(1000, 64)) + labels[:, None]
        x = (3.8 * x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        (fit,) = Regression([Features(x, labels)]).fit([1e-6])
        (bias,) = reference(x, labels, 1e-6).intercept_
        assert float(fit.bias[1] - fit.bias[0]) == pytest.approx(bias, rel=0.01)

    def test_more_features_than_samples(self):
        data = features(3, size=20, width=50)
        (fit,) = Regression([data]).fit([10.0])
        theirs = objective(reference(data.x, data.y, 10.0), data.x, data.y, 10.0)
        assert fit.converged and fit.objective == pytest.approx(theirs, rel=1e-6)


class TestPath:
    def test_fits_made_together_are_the_same_as_one_at_a_time(self):
        strengths = [1e-4, 0.1, 1.0, 100.0]
        together = Regression([features(5)]).fit(strengths)
        for C, fit in zip(strengths, together, strict=True):
            (alone,) = Regression([features(5)]).fit([C])
            assert alone.objective == pytest.approx(fit.objective, rel=1e-7)
            torch.testing.assert_close(
                alone.weights, fit.weights, rtol=1e-2, atol=1e-3 * float(fit.weights.abs().max())
            )

    def test_a_start_nearby_saves_iterations(self):
        cold, warm = Regression([features(5)]), Regression([features(5)])
        warm.fit([0.9, 1.1])
        assert warm.fit([1.0])[0].iterations < cold.fit([1.0])[0].iterations / 2
        assert warm.fits[1.0].objective == pytest.approx(cold.fits[1.0].objective, rel=1e-6)

    def test_a_start_may_lack_classes(self):
        """Of a search on training samples none of which has a class that the validation split
        adds.
        """
        whole = features(5)
        rows = np.flatnonzero(whole.labels != 5)
        part = Features(whole.x[rows], whole.labels[rows])
        (start,) = Regression([part]).fit([1.0])
        (cold,), (warm,) = (Regression([whole]).fit([1.0], start=begin) for begin in (None, start))
        assert len(start.classes) == 4 and warm.objective == pytest.approx(cold.objective, rel=1e-6)

    def test_too_few_iterations_are_reported(self):
        (fit,) = Regression([features(5)], max_iterations=3).fit([1e4])
        assert not fit.converged and fit.iterations == 3


class TestChunks:
    def test_streamed_and_kept_in_memory_agree(self, monkeypatch, tmp_path):
        data = features(6, size=700)
        np.save(tmp_path / "x.npy", data.x)
        mapped = Features(np.load(tmp_path / "x.npy", mmap_mode="r"), data.y)
        kept = Regression([data], balanced=True).fit([0.1, 10.0])
        monkeypatch.setattr(passes, "RESIDENT_BYTES", 0)
        monkeypatch.setattr(passes, "CHUNK_NUMBERS", 1)
        monkeypatch.setattr(passes, "CHUNK_ROWS", 33)
        split = [mapped.rows(np.arange(0, 700, 2)), mapped.rows(np.arange(1, 700, 2))]
        for one, other in zip(kept, Regression(split, balanced=True).fit([0.1, 10.0]), strict=True):
            assert other.objective == pytest.approx(one.objective, rel=1e-7)
            assert np.mean(one.predict(data) == other.predict(mapped)) > 0.998

    @pytest.mark.whole
    def test_memory_does_not_grow_with_the_samples(self, tmp_path):
        """At 61 MB of features; ImageNet's 5 GB are streamed the same way."""
        rows, width = 60_000, 256
        path = tmp_path / "x.npy"
        x = np.lib.format.open_memmap(path, "w+", np.float32, (rows, width))
        x[:] = np.random.default_rng(0).standard_normal((rows, width), dtype=np.float32)
        x.flush()
        taken = measure.in_fresh_process(private_memory_of_a_fit, str(path))
        assert taken < rows * width * 4 / 2


def private_memory_of_a_fit(path):
    """Return the anonymous memory, pages of the mapped file not counted, that a short fit takes at
    its peak.
    """
    passes.RESIDENT_BYTES, passes.CHUNK_NUMBERS = 0, 1 << 17
    x = np.load(path, mmap_mode="r")
    data = Features(x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0))
    Regression([Features(x[:600], data.y[:600])]).fit([1.0])
    peak, evaluate = [], Regression.objective

    def watched(self, *arguments):
        peak.append(memory.anonymous_bytes())
        return evaluate(self, *arguments)

    before, Regression.objective = memory.anonymous_bytes(), watched
    Regression([data], max_iterations=3).fit([1.0])
    return max(peak) - before


class TestRefusals:
    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            (np.zeros((3, 2)), np.zeros(2, dtype=int), "do not fit"),
            (np.zeros((0, 2)), np.zeros(0, dtype=int), "empty"),
            (np.zeros((3, 0)), np.zeros(3, dtype=int), "empty"),
            (np.full((3, 2), np.nan), np.zeros(3, dtype=int), "not finite"),
            (np.zeros((3, 2)), np.zeros(3), "integers"),
            (np.array([["a"], ["b"]]), np.zeros(2, dtype=int), "numbers"),
        ],
    )
    def test_features(self, x, y, message):
        with pytest.raises(UserError, match=message):
            Features(x, y)

    def test_one_class_and_different_widths(self):
        with pytest.raises(UserError, match=r"at least two classes; found \[3\]"):
            Regression([features(1)])
        with pytest.raises(UserError, match="different numbers of features: 12, 5"):
            Regression([features(2), features(2, width=5)])


class TestMinimise:
    def test_quadratics_of_any_condition_side_by_side(self):
        generator = torch.Generator().manual_seed(0)
        scales = torch.tensor([[1.0], [1e3], [1e-3]]) * torch.logspace(-1, 1, 20)
        centres = torch.randn(3, 20, generator=generator, dtype=torch.float64)

        def evaluate(points, which):
            away = points - centres[which]
            return 1 + (scales[which] * away**2).sum(1) / 2, scales[which] * away

        end = lbfgs.minimise(evaluate, torch.zeros_like(centres), 1e-13, torch.tensor([200] * 3))
        assert end.converged.all() and (end.iterations < 200).all()
        torch.testing.assert_close(
            end.values, torch.ones(3, dtype=torch.float64), rtol=1e-11, atol=0
        )

    def test_steps_that_overshoot_are_shortened(self):
        def evaluate(points, which):
            return torch.log(torch.cosh(points)).sum(1) + 1, torch.tanh(points)

        end = lbfgs.minimise(
            evaluate, torch.full((1, 1), 5.0, dtype=torch.float64), 1e-15, torch.tensor([50])
        )
        assert end.converged.all() and abs(float(end.points)) < 1e-6
