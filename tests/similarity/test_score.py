"""`kbench score` and `kbench variants`, through the command line."""

import subprocess
import sys

import numpy as np
import point_sets
import pytest
import torch

from kbench import similarity
from kbench.cli import main
from kbench.similarity.base import Similarity
from kbench.similarity.features import RandomFeatures
from kbench.similarity.sets import PointSet


def kbench(*arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(map(str, arguments)))
    return stop.value.code


@pytest.fixture
def arrays():
    images, texts = point_sets.pair()
    return {
        "image_points": images.points.numpy(),
        "image_weights": images.weights.numpy(),
        "text_points": texts.points.numpy(),
        "text_weights": texts.weights.numpy(),
    }


@pytest.fixture
def score(tmp_path, arrays):
    """Write the arrays, score them, return exit status and output (None if there is no file)."""

    def run(variant, *options, **changes):
        np.savez(
            tmp_path / "sets.npz", **{k: v for k, v in (arrays | changes).items() if v is not None}
        )
        output = tmp_path / "scores.npz"
        status = kbench(
            "score",
            "--variant",
            variant,
            "--input",
            tmp_path / "sets.npz",
            "--output",
            output,
            *options,
        )
        left = sorted(path.name for path in tmp_path.iterdir())
        assert left == ["scores.npz", "sets.npz"][status != 0 :]
        return status, dict(np.load(output)) if output.exists() else None

    return run


def reference(variant, arrays, draw=None):
    """The variant's own formula, point by point and pair by pair, in double precision."""
    images, texts = (
        PointSet(
            *(
                torch.from_numpy(arrays[f"{side}_{what}"].astype(float))
                for what in ("points", "weights")
            )
        )
        for side in ("image", "text")
    )
    drawn = (
        RandomFeatures(*(torch.from_numpy(part.astype(float)) for part in draw)) if draw else None
    )
    return Similarity.straightforward(variant, images, texts, drawn).detach().numpy()


@pytest.mark.parametrize("name", point_sets.NAMES)
def test_every_variant_exact(name, score, arrays):
    status, scored = score(name, "--estimator", "exact")
    assert status == 0 and scored["scores"].dtype == np.float64
    np.testing.assert_allclose(
        scored["scores"], reference(similarity.create(name), arrays), rtol=1e-10, atol=1e-13
    )


@pytest.mark.parametrize("name", ["wpse-gaussian", "wpse-imq"])
@pytest.mark.parametrize("shares", [(2 / 3, 1 / 3), (0, 1), (1, 0), (0.3, 7)])
def test_given_frequencies_are_used_exactly(name, shares, score, arrays):
    rng = np.random.default_rng(0)
    draw = rng.normal(size=(7, 6)) * 2, rng.uniform(0, 6, size=7)
    options = [f"--set=a1={shares[0]!r}", f"--set=a2={shares[1]!r}"]
    status, scored = score(name, *options, frequencies=draw[0], phases=draw[1])
    variant = similarity.create(name, {"a1": shares[0], "a2": shares[1]})
    assert status == 0
    np.testing.assert_allclose(
        scored["scores"], reference(variant, arrays, draw), rtol=1e-10, atol=1e-13
    )
    product = scored["image_features"] @ scored["text_features"].T
    np.testing.assert_allclose(scored["scores"], product, rtol=1e-10, atol=1e-13)
    assert scored["image_features"].dtype == np.float64


@pytest.mark.parametrize("estimator", ["rff", "paired", "orthogonal"])
def test_drawn_features_come_near_the_exact_kernel(estimator, score):
    _, exact = score("wpse-imq")
    assert "image_features" not in exact
    drawn = [
        score("wpse-imq", "--estimator", estimator, "--set", "features=8192", "--seed", s)[1]
        for s in (1, 1, 2)
    ]
    np.testing.assert_allclose(drawn[0]["scores"], exact["scores"], atol=0.02)
    assert drawn[0]["image_features"].shape == (4, 6 + 8192)
    assert np.array_equal(drawn[0]["scores"], drawn[1]["scores"])
    assert not np.array_equal(drawn[0]["scores"], drawn[2]["scores"])


def test_parameters_are_set(score, arrays):
    _, scored = score("wpse-gaussian", "--set", "sigma=1.5", "--set", "a1=0.5")
    expected = reference(similarity.create("wpse-gaussian", {"sigma": 1.5, "a1": 0.5}), arrays)
    np.testing.assert_allclose(scored["scores"], expected, rtol=1e-10)
    _, scored = score("kernel-pooled", "--set", "kernel=laplace", "--set", "length=2")
    expected = reference(
        similarity.create("kernel-pooled", {"kernel": "laplace", "length": 2}), arrays
    )
    np.testing.assert_allclose(scored["scores"], expected, rtol=1e-7)


def test_single_precision_input_is_scored_in_double(score, arrays):
    _, scored = score("wpse-gaussian", **{k: v.astype(np.float32) for k, v in arrays.items()})
    rounded = {k: v.astype(np.float32).astype(np.float64) for k, v in arrays.items()}
    expected = reference(similarity.create("wpse-gaussian"), rounded)
    np.testing.assert_allclose(scored["scores"], expected, rtol=1e-10, atol=1e-13)


BAD_INPUT = [
    ("wpse-gausian", [], {}, "did you mean 'wpse-gaussian'"),
    ("wpse-gaussian", ["--set", "sigm=1"], {}, "did you mean 'sigma'"),
    ("wpse-gaussian", ["--set", "sigma=0"], {}, "greater than 0"),
    ("wpse-gaussian", ["--set", "sigma=-1"], {}, "greater than 0"),
    ("wpse-imq", ["--set", "c=nan"], {}, "finite"),
    ("wpse-imq", ["--set", "c"], {}, "KEY=VALUE"),
    ("wpse-gaussian", ["--set", "a1=0", "--set", "a2=0"], {}, "both 0"),
    ("wpse-gaussian", ["--set", "a1=-0.1"], {}, "greater than or equal to 0"),
    ("wpse-gaussian", ["--set", "features=0"], {}, "greater than or equal to 1"),
    ("wpse-gaussian", ["--set", "features=9", "--estimator", "orthogonal"], {}, "9 is odd"),
    ("wpse-gaussian", ["--set", "activation=exp"], {}, "'signed', 'positive' or 'uniform'"),
    ("cosine", ["--set", "sigma=1"], {}, "cosine has no parameters"),
    ("wpse-gaussian", ["--estimator", "rf"], {}, "did you mean 'rff'"),
    ("filip", ["--estimator", "rff"], {}, "no explicit features"),
    (
        "cosine",
        [],
        {"image_points": None, "text_weights": None},
        "lacks image_points, text_weights",
    ),
    ("cosine", [], {"image_points": np.ones((4, 6))}, "image_points have shape (4, 6)"),
    ("cosine", [], {"image_points": np.ones((4, 5, 0))}, "image_points have shape (4, 5, 0)"),
    ("cosine", [], {"text_weights": np.ones((3, 3))}, "text_weights have shape (3, 3)"),
    (
        "cosine",
        [],
        {"text_points": np.ones((3, 2, 5))},
        "image features have 6 dimensions, but text features have 5",
    ),
    (
        "filip",
        [],
        {"text_points": np.ones((3, 2, 5))},
        "image points have 6 dimensions, but text points have 5",
    ),
    (
        "wpse-imq",
        [],
        {"text_weights": np.full((3, 2), np.nan)},
        "text_weights holds 6 non-finite values",
    ),
    ("wpse-imq", [], {"text_weights": np.full((3, 2), "a")}, "legal: real numbers"),
    ("wpse-imq", [], {"frequencies": np.ones((8, 6))}, "they go together"),
    (
        "wpse-imq",
        [],
        {"frequencies": np.ones((8, 5)), "phases": np.ones(8)},
        "points of 5 dimensions",
    ),
    (
        "wpse-imq",
        [],
        {"frequencies": np.ones((8, 6)), "phases": np.ones(7)},
        "phases have shape (7,)",
    ),
    (
        "wpse-imq",
        [],
        {"frequencies": np.ones((0, 6)), "phases": np.ones(0)},
        "frequencies have shape (0, 6)",
    ),
]


@pytest.mark.parametrize("variant, options, changes, message", BAD_INPUT)
def test_bad_input_is_one_message_and_no_file(variant, options, changes, message, score, capsys):
    status, scored = score(variant, *options, **changes)
    error = capsys.readouterr().err
    assert status == 2 and scored is None
    assert message in error and error.startswith("kbench: ") and error.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"\x93NUMPY", b"text"])
def test_files_that_are_no_npz(content, tmp_path, capsys):
    if content is not None:
        (tmp_path / "in.npz").write_bytes(content)
    arguments = [
        "--variant",
        "cosine",
        "--input",
        tmp_path / "in.npz",
        "--output",
        tmp_path / "out.npz",
    ]
    assert kbench("score", *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out.npz").exists()


def test_one_array_instead_of_several(tmp_path, capsys):
    np.save(tmp_path / "in.npy", np.ones(3))
    arguments = [
        "--variant",
        "cosine",
        "--input",
        tmp_path / "in.npy",
        "--output",
        tmp_path / "out.npz",
    ]
    assert kbench("score", *arguments) == 2
    assert "npz" in capsys.readouterr().err


def test_no_traceback_from_a_process_of_its_own(tmp_path):
    command = [
        sys.executable,
        "-m",
        "kbench",
        "score",
        "--variant",
        "filp",
        "--input",
        "x",
        "--output",
        "y",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "did you mean 'filip'" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())


def test_variants_are_listed_with_formula_parameters_and_source(capsys):
    assert kbench("variants") == 0
    lines = capsys.readouterr().out.splitlines()
    for name in similarity.names():
        variant = similarity.get(name)
        (heading,) = (line for line in lines if line.startswith(f"{name} "))
        below = lines[lines.index(heading) + 1 :][:2]
        assert variant.licence and f"    code of the source: {variant.licence}" in below
        assert (f"    needs: {variant.needs()}" in below) == bool(variant.needs())
        assert (
            variant.formula in heading
            and variant.source in heading
            and "explicit features: " in heading
        )
    assert kbench("variants", "wpse-imq") == 0
    shown = capsys.readouterr().out
    for name, field in similarity.get("wpse-imq").Settings.model_fields.items():
        assert f"{name} = " in shown and field.description in shown
    assert "explicit features: random" in shown
    assert kbench("variants", "wpse-imp") == 2
    assert "did you mean 'wpse-imq'" in capsys.readouterr().err


def test_names_are_listed_without_importing_torch():
    code = (
        "import sys; from kbench import objective, similarity; print(similarity.names(),"
        " objective.names());similarity.parse('cosine', {}); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "wpse-gaussian-positive" in done.stdout and "infonce" in done.stdout
