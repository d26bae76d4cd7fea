"""Variance of every estimator of a kernel against the exact kernel; the baseline is the published
estimator.

The variance is the mean squared error over draws and over pairs of different points: on points
uniform on the sphere, on those in an npz, and on those that a trained run makes of images and
captions of the embedded world.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kbench import locations, progress
from kbench.bench.measure import Row, say
from kbench.errors import UserError

if TYPE_CHECKING:
    import torch

    from kbench.similarity.kernels.base import Kernel

PUBLISHED = "rff"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument(
        "--dims", nargs="+", type=int, default=[64, 512], help="d; default %(default)s"
    )
    parser.add_argument(
        "--features", nargs="+", type=int, default=[256, 1024, 4096], help="D; default %(default)s"
    )
    parser.add_argument(
        "--length", type=float, default=0.5, help="width of the kernels; default %(default)s"
    )
    parser.add_argument("--points", type=Path, metavar="NPZ", help="array `points` (..., d)")
    parser.add_argument(
        "--run", type=Path, metavar="FOLDER", help="a finished run, e.g. results/demo/runs/RUN"
    )
    locations.add_arguments(parser)
    parser.add_argument(
        "--count", type=int, default=64, help="points that are compared; default %(default)s"
    )
    parser.add_argument("--draws", type=int, default=50, help="default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    from kbench.similarity import estimators, kernels

    measured = []
    cases = list(itertools.product(_clouds(arguments), kernels.names(), arguments.features))
    say(
        f"{'points':<18}{'kernel':<10}{'D':>6}"
        + "".join(f"{name:>22}" for name in estimators.names())
    )
    for (cloud, points), name, features in progress.track(cases, "estimators", "case"):
        kernel = kernels.get(name)(arguments.length)
        variance = {
            m: _variance(m, kernel, points, features, arguments.draws) for m in estimators.names()
        }
        new = [
            Row.of(
                f"estimators/{cloud}/{name}/D{features}/{method}",
                value,
                "variance",
                variance[PUBLISHED],
            )
            for method, value in variance.items()
        ]
        cells = "".join(f"{row.value:>13.3g} ({row.ratio:>6.3f})" for row in new)
        say(f"{cloud:<18}{name:<10}{features:>6}{cells}")
        measured += new
    return measured


def _clouds(arguments: argparse.Namespace) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield the name of each set of unit points, and the points (count, d)."""
    import torch

    for dim in arguments.dims:
        points = torch.randn(
            arguments.count, dim, generator=torch.Generator().manual_seed(dim), dtype=torch.float64
        )
        yield f"sphere-d{dim}", torch.nn.functional.normalize(points, dim=1)
    if arguments.points is not None:
        yield _some("given", _read(arguments.points), arguments.count)
    if arguments.run is not None:
        from kbench.bench import trained

        yield _some(
            "trained",
            trained.points(arguments.run, locations.from_arguments(arguments)),
            arguments.count,
        )


def _some(name: str, points: "torch.Tensor", count: int) -> tuple[str, "torch.Tensor"]:
    import torch

    chosen = torch.randperm(len(points), generator=torch.Generator().manual_seed(0))[:count]
    return f"{name}-d{points.shape[1]}", torch.nn.functional.normalize(points[chosen], dim=1)


def _read(path: Path) -> "torch.Tensor":
    import numpy as np
    import torch

    try:
        with np.load(path, allow_pickle=False) as arrays:
            points = arrays["points"].astype(np.float64)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot read the array `points` of {path}: {error}") from error
    if points.ndim < 2 or not np.isfinite(points).all():
        raise UserError(
            f"points of {path} have shape {points.shape}; legal: (..., d), finite numbers"
        )
    return torch.from_numpy(points.reshape(-1, points.shape[-1]))


def _variance(
    method: str, kernel: "Kernel", points: "torch.Tensor", features: int, draws: int
) -> float:
    import torch

    from kbench import seeds
    from kbench.similarity import estimators
    from kbench.similarity.features import RandomFeatures

    exact = kernel.value((points[:, None] - points).square().sum(-1))
    pairs = ~torch.eye(len(points), dtype=torch.bool)
    generator = torch.Generator().manual_seed(
        seeds.derive("estimators", method, kernel.name, features)
    )
    total = 0.0
    for _ in range(draws):
        drawn = estimators.get(method).draw(
            kernel, features, points.shape[1], generator, torch.float64
        )
        draw = RandomFeatures(*drawn)
        mapped = draw.factor * torch.cos(points @ draw.frequencies.T + draw.phases)
        total += (mapped @ mapped.T - exact)[pairs].square().mean().item()
    return total / draws
