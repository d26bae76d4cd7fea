"""Score arbitrary weighted point sets with a similarity, outside any training, in float64.

The input holds image_points (B, M, d), image_weights (B, M), text_points (C, N, d) and text_weights
(C, N), and optionally frequencies (D, d) and phases (D,), which are then used instead of drawing
random features. Points are brought to norm 1 where the variant's formula asks for it; weights are
taken as they are. The output holds scores (B, C) without the logit scale and, where they are an
inner product, image_features (B, F) and text_features (C, F).

Without --estimator the given frequencies are used, and the exact kernel if there are none.

Example:
  kbench score --variant wpse-gaussian --input sets.npz --output scores.npz --set sigma=0.7 \\
    --estimator rff
"""

import argparse
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kbench import files
from kbench.commands import options
from kbench.errors import UserError, unknown

if TYPE_CHECKING:
    from kbench.similarity.base import Similarity
    from kbench.similarity.features import RandomFeatures
    from kbench.similarity.sets import PointSet

REQUIRED = ("image_points", "image_weights", "text_points", "text_weights")
OPTIONAL = ("frequencies", "phases")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--variant", required=True, help="similarity variant; `kbench variants` lists them"
    )
    parser.add_argument("--input", required=True, type=Path, metavar="NPZ", help="the point sets")
    parser.add_argument(
        "--output", required=True, type=Path, metavar="NPZ", help="where scores are written"
    )
    parser.add_argument(
        "--estimator", help="exact, or the random features to use: rff, orthogonal ..."
    )
    options.add_assignments(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of drawn random features; default %(default)s"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, score, write."""
    from kbench import similarity

    variant = similarity.create(arguments.variant, options.assignments(arguments))
    _check_estimator(variant, arguments.estimator)
    arrays = _read(arguments.input)
    scored = _score(variant, arrays, arguments)
    with files.replacing(arguments.output) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **scored)


def _check_estimator(variant: "Similarity", name: str | None) -> None:
    from kbench.similarity import estimators

    legal = ["exact", *estimators.names()]
    if name is not None and name not in legal:
        raise unknown("estimator", name, legal)
    if name not in (None, "exact") and not variant.has_features():
        raise UserError(
            f"{variant.name} has no explicit features, so estimator '{name}' cannot be; legal:"
            " exact"
        )


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*REQUIRED, *OPTIONAL) if name in archive}
    except FileNotFoundError as error:
        raise UserError(f"no such file: {path}") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {path} as an npz of arrays: {error}") from error
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}; needed: {', '.join(REQUIRED)}")
    if len(arrays.keys() & set(OPTIONAL)) == 1:
        raise UserError(f"{path} holds only one of {' and '.join(OPTIONAL)}; they go together")
    return {name: _double(path, name, array) for name, array in arrays.items()}


def _double(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiub":
        raise UserError(f"{path}: {name} has type {array.dtype}; legal: real numbers")
    if not np.isfinite(array).all():
        raise UserError(f"{path}: {name} holds {(~np.isfinite(array)).sum()} non-finite values")
    return array.astype(np.float64)


def _score(
    variant: "Similarity", arrays: dict[str, np.ndarray], arguments: argparse.Namespace
) -> dict[str, np.ndarray]:
    import torch

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    images, texts = (_point_set(tensors, side, arguments.input) for side in ("image", "text"))
    draw = _random_features(variant, tensors, images.points.shape[2], arguments)
    with torch.inference_mode():
        left, right = (
            variant.represent(images, "image", draw),
            variant.represent(texts, "text", draw),
        )
        scored = {"scores": variant.compare(left, right)}
    if "features" in left:
        scored |= {"image_features": left["features"], "text_features": right["features"]}
    return {name: tensor.numpy() for name, tensor in scored.items()}


def _point_set(tensors: dict, side: str, path: Path) -> "PointSet":
    from kbench.similarity.sets import PointSet

    try:
        return PointSet(tensors[f"{side}_points"], tensors[f"{side}_weights"])
    except UserError as error:
        raise UserError(f"{path}: {side}_{error}") from error


def _random_features(
    variant: "Similarity", tensors: dict, dim: int, arguments: argparse.Namespace
) -> "RandomFeatures | None":
    import torch

    from kbench.similarity.features import RandomFeatures

    given = "frequencies" in tensors
    if arguments.estimator == "exact" or not (given or arguments.estimator):
        return None
    if given:
        return RandomFeatures(tensors["frequencies"], tensors["phases"])
    generator = torch.Generator().manual_seed(arguments.seed)
    return variant.draw(dim, generator, estimator=arguments.estimator, dtype=torch.float64)
