"""Time of the linear probe's whole search; the baseline is the same search made with scikit-learn.

Features are random, 10,000 x 512, with a tenth held out to choose C. Objective and accuracy are
compared as well: the objectives at the C that kbench chose, each solver's as it ends. The baseline
computes in float64: in float32 scikit-learn reports that it has converged where it has not, and a
useless C is chosen. With --array-api its search is also made with torch's arrays on the device, by
its array API: rows probe/N-classes/array-api and probe/N-classes/array-api/accuracy.
"""

import argparse
import time
import warnings
from typing import TYPE_CHECKING, Any
from unittest import mock

from kbench import progress
from kbench.bench.measure import Row, in_fresh_process, say

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
    parser.add_argument(
        "--array-api", action="store_true", help="also scikit-learn's search on the device"
    )


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
        if arguments.array_api:
            taken = _with_array_api(train, test, arguments.device)
            measured += [
                Row.of(f"{name}/array-api", seconds[0], "seconds", taken[0]),
                Row.of(f"{name}/array-api/accuracy", ours.acc1, "fraction", taken[1]),
            ]
            say(f"{'':<9}{'':>9}{taken[0]:>9.3g}{measured[-2].ratio:>7.3f}{'':>10}{taken[1]:>9.4f}")
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


def _with_array_api(train: "Features", test: "Features", device: str) -> tuple[float, float]:
    """Return seconds and accuracy of scikit-learn's search on a device's arrays, in a process of
    its own: SciPy reads when it is imported whether arrays may be others than numpy's.
    """
    with mock.patch.dict("os.environ", SCIPY_ARRAY_API="1"):
        return in_fresh_process(_search_on, train, test, device)


def _search_on(train: "Features", test: "Features", device: str) -> tuple[float, float]:
    from sklearn import config_context

    from kbench.measures.settings import LinearProbeSettings

    settings = LinearProbeSettings()
    warm_up = [samples(2, 100, 8, seed) for seed in (0, 1)]
    with config_context(array_api_dispatch=True):
        scikit_learn_probe(*warm_up, settings, device)
        start = time.perf_counter()
        model, _ = scikit_learn_probe(train, test, settings, device)
        predicted = _on_host(model.predict(_double(test, device)))
        seconds = time.perf_counter() - start
    return seconds, float((predicted == test.labels).mean())


def scikit_learn_probe(
    train: "Features", test: "Features", settings: "LinearProbeSettings", device: str | None = None
) -> tuple["LogisticRegression", "Tried"]:
    """Make the published search with scikit-learn's solver; returns the model refitted on all, and
    the best C tried.

    device: of torch's arrays that it computes with, by its array API; None: numpy's.
    """
    from kbench.measures.logistic import Tried, search, top1
    from kbench.measures.splits import held_out

    fitted_on, judged_on = held_out(train)
    fitted_on, judged_on = (
        type(train)(_double(part), part.labels) for part in (fitted_on, judged_on)
    )

    def judge(strengths: list[float]) -> list[Tried]:
        models = [_fit(fitted_on, C, settings, device) for C in strengths]
        predicted = [_on_host(model.predict(_double(judged_on, device))) for model in models]
        return [
            Tried(C, top1(labels, judged_on.labels), int(model.n_iter_[0]), True)
            for C, model, labels in zip(strengths, models, predicted, strict=True)
        ]

    best, _ = search(settings.strides, judge)
    model = _fit(train, best.C, settings, device)
    model.predict(_double(test, device))
    return model, best


def objective(model: "LogisticRegression", data: "Features", C: float) -> float:
    """Return C times the sum of the losses plus half the squared norm of the weights."""
    import numpy as np
    from sklearn.metrics import log_loss

    loss = log_loss(
        data.labels, model.predict_proba(_double(data)), labels=model.classes_, normalize=False
    )
    return C * loss + float(np.square(model.coef_).sum()) / 2


def _fit(
    data: "Features", C: float, settings: "LinearProbeSettings", device: str | None = None
) -> "LogisticRegression":
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=C, max_iter=settings.max_iterations).fit(
            _double(data, device), _placed(data.labels, device)
        )


def _double(data: "Features", device: str | None = None) -> Any:
    chosen = data.x if data.index is None else data.x[data.index]
    return _placed(chosen.astype("float64", copy=False), device)


def _placed(array: "np.ndarray", device: str | None) -> Any:
    """Return an array of numpy's, or torch's on a device."""
    if device is None:
        return array
    import torch

    return torch.from_numpy(array).to(device)


def _on_host(array: Any) -> "np.ndarray":
    return array.cpu().numpy() if hasattr(array, "cpu") else array
