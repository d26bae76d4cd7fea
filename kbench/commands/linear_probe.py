"""The published linear probe on arbitrary features.

--features names an .npz with train_x (N, F), train_y (N,), test_x, test_y and optionally val_x,
val_y. C is searched over logspace(-6, 6, 97) on the validation split (without one, a tenth of
train), refitted on both and tested once.

Example: kbench linear-probe --features features.npz --output probe.json
"""

import argparse
from pathlib import Path

from kbench import files
from kbench.commands.options import add_device, device
from kbench.errors import UserError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add input, output and the criterion."""
    parser.add_argument(
        "--features",
        type=Path,
        required=True,
        help=".npz with train_x, train_y, test_x, test_y ...",
    )
    parser.add_argument("--output", type=Path, required=True, help="JSON to write")
    parser.add_argument(
        "--metric",
        choices=("acc1", "mean_per_class_recall"),
        default="acc1",
        help="criterion of the search; mean_per_class_recall also balances the classes",
    )
    parser.add_argument(
        "--held-out",
        choices=("random", "stratified", "proportional"),
        default="random",
        help=(
            "how a tenth of train is held out without val: torch's random_split, scikit-learn's, or"
            " kbench's own"
        ),
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="stop as the released solver does (1e-4); default: exact to a certain choice",
    )
    add_device(parser)


def run(arguments: argparse.Namespace) -> None:
    """Probe and write the JSON."""
    from kbench.measures.logistic import probe

    train, val, test = _read(arguments.features)
    settings = _settings(arguments.tolerance)
    result = probe(
        train, val, test, settings, arguments.metric, arguments.held_out, device=device(arguments)
    )
    document = {
        "C": result.C,
        "acc1": result.acc1,
        "mean_per_class_recall": result.mean_per_class_recall,
        "converged": result.converged,
        "iterations": result.iterations,
        "objective": result.objective,
        "metric": arguments.metric,
        "held_out": "val" if val is not None else arguments.held_out,
        "tolerance": settings.tolerance,
        "path": [
            {
                "C": tried.C,
                arguments.metric: tried.value,
                "iterations": tried.iterations,
                "converged": tried.converged,
            }
            for tried in result.path
        ],
    }
    files.write_json(arguments.output, document)
    print(
        f"C {result.C:.3g}, acc1 {result.acc1:.4f}, mean per-class recall"
        f" {result.mean_per_class_recall:.4f}"
    )


def _settings(tolerance: float | None):
    from pydantic import ValidationError

    from kbench.measures.settings import LinearProbeSettings

    try:
        return LinearProbeSettings(tolerance=tolerance)
    except ValidationError as error:
        raise UserError(
            f"--tolerance {tolerance}: {error.errors()[0]['msg']}; the release has 1e-4"
        ) from error


def _read(path: Path):
    import zipfile

    import numpy as np

    from kbench.measures.labelled_features import Features

    try:
        arrays = dict(np.load(path, allow_pickle=False))
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, TypeError) as error:
        raise UserError(f"cannot read {path} as .npz: {error}") from error
    missing = {"train_x", "train_y", "test_x", "test_y"} - arrays.keys()
    if missing or ("val_x" in arrays) != ("val_y" in arrays):
        raise UserError(
            f"{path} lacks {', '.join(sorted(missing)) or 'val_x or val_y'}; it has"
            f" {', '.join(sorted(arrays))}"
        )
    val = Features(arrays["val_x"], arrays["val_y"]) if "val_x" in arrays else None
    return (
        Features(arrays["train_x"], arrays["train_y"]),
        val,
        Features(arrays["test_x"], arrays["test_y"]),
    )
