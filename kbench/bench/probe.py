"""Time of the linear probe's whole search; the baseline is the same search made with scikit-learn.

Features are random, 10,000 x 512, with a tenth held out to choose C. Objective and accuracy are
compared as well: the objectives at the C that kbench chose, each solver's as it ends. The baseline
computes in float64: in float32 scikit-learn reports that it has converged where it has not, and a
useless C is chosen.
"""

import argparse
import time
import warnings
from typing import TYPE_CHECKING

from kbench import progress
from kbench.bench.measure import Row, say

if TYPE_CHECKING:
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    from kbench.measures.labelled_features import Features
    from kbench.measures.logistic import Tried
    from kbench.measures.settings import LinearProbeSettings

SPREAD = 4.0
"""Of the samples about their class's centre; with it the probe errs now and then."""

SQUARED_NORM = 50.0
"""Of a sample, such as a unit embedding times the square root of a learned logit scale has."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--samples", type=int, default=10_000, help="default %(default)s")
    parser.add_argument(
        "--width", type=int, default=512, help="features of a sample; default %(default)s"
    )
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100], help="default 10 100")
    parser.add_argument("--device", default="cpu", help="kbench's; default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    from kbench.measures.logistic import probe
    from kbench.measures.settings import LinearProbeSettings

    settings, measured = LinearProbeSettings(), []
    # First calls load libraries; they do not count.
    warm_up = [samples(2, 100, 8, seed) for seed in (0, 1)]
    probe(warm_up[0], None, warm_up[1], settings, "acc1", device=arguments.device)
    scikit_learn_probe(*warm_up, settings)
    say(
        f"{'classes':<9}{'seconds':>9}{'baseline':>9}{'ratio':>7}{'accuracy':>10}{'baseline':>9}{'C':>10}{'baseline':>10}"
    )
    for classes in progress.track(arguments.classes, "probes", "probe"):
        train, test = (
            samples(classes, count, arguments.width, seed)
            for seed, count in ((0, arguments.samples), (1, 2000))
        )
        start = time.perf_counter()
        ours = probe(train, None, test, settings, "acc1", device=arguments.device)
        middle = time.perf_counter()
        model, best = scikit_learn_probe(train, test, settings)
        seconds = (middle - start, time.perf_counter() - middle)
        accuracy = model.score(_double(test), test.labels)
        if best.C != ours.C:
            model = _fit(train, ours.C, settings)
        name = f"probe/{classes}-classes"
        measured += [
            Row.of(name, seconds[0], "seconds", seconds[1]),
            Row.of(f"{name}/accuracy", ours.acc1, "fraction", accuracy),
            Row.of(f"{name}/objective", ours.objective, "nats", objective(model, train, ours.C)),
            Row.of(f"{name}/C", ours.C, "inverse strength", best.C),
        ]
        say(
            f"{classes:<9}{seconds[0]:>9.3g}{seconds[1]:>9.3g}{measured[-4].ratio:>7.3f}"
            f"{ours.acc1:>10.4f}{accuracy:>9.4f}{ours.C:>10.3g}{best.C:>10.3g}"
        )
    return measured


def samples(classes: int, count: int, width: int, seed: int) -> "Features":
    """Return features (count, width) about centres that are the same for every seed, the spectrum
    falling as 1 / k.
    """
    import numpy as np

    from kbench.measures.labelled_features import Features

    spectrum = np.arange(1, width + 1) ** -0.5
    centres = np.random.default_rng(0).normal(size=(classes, width)) * spectrum
    generator = np.random.default_rng([1, seed])
    labels = generator.integers(0, classes, count)
    x = centres[labels] + SPREAD * generator.normal(size=(count, width)) * spectrum
    x *= SQUARED_NORM**0.5 / np.linalg.norm(x, axis=1, keepdims=True)
    return Features(x.astype(np.float32), labels)


def scikit_learn_probe(
    train: "Features", test: "Features", settings: "LinearProbeSettings"
) -> tuple["LogisticRegression", "Tried"]:
    """Make the published search with scikit-learn's solver; returns the model refitted on all, and
    the best C tried.
    """
    from kbench.measures.logistic import Tried, search, top1
    from kbench.measures.splits import held_out

    fitted_on, judged_on = held_out(train)
    fitted_on, judged_on = (
        type(train)(_double(part), part.labels) for part in (fitted_on, judged_on)
    )

    def judge(strengths: list[float]) -> list[Tried]:
        models = [_fit(fitted_on, C, settings) for C in strengths]
        return [
            Tried(
                C, top1(model.predict(judged_on.x), judged_on.labels), int(model.n_iter_[0]), True
            )
            for C, model in zip(strengths, models, strict=True)
        ]

    best, _ = search(settings.strides, judge)
    model = _fit(train, best.C, settings)
    model.predict(_double(test))
    return model, best


def objective(model: "LogisticRegression", data: "Features", C: float) -> float:
    """Return C times the sum of the losses plus half the squared norm of the weights."""
    import numpy as np
    from sklearn.metrics import log_loss

    loss = log_loss(
        data.labels, model.predict_proba(_double(data)), labels=model.classes_, normalize=False
    )
    return C * loss + float(np.square(model.coef_).sum()) / 2


def _fit(data: "Features", C: float, settings: "LinearProbeSettings") -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=C, max_iter=settings.max_iterations).fit(
            _double(data), data.labels
        )


def _double(data: "Features") -> "np.ndarray":
    return (data.x if data.index is None else data.x[data.index]).astype("float64", copy=False)
