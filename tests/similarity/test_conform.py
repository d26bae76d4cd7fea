"""`kbench conform`: every component holds, and each check can fail, with a sentence that has the
figure.
"""

import shutil

import pytest
from tiny import ROOT

from kbench import objective, similarity
from kbench.conformance import objective as of_objectives
from kbench.conformance import similarity as of_similarities


@pytest.mark.parametrize("name", similarity.names())
@pytest.mark.parametrize("check", of_similarities.CHECKS, ids=lambda check: check.__name__)
def test_every_similarity_conforms(check, name):
    assert check(name) is None


@pytest.mark.parametrize("name", objective.names())
@pytest.mark.parametrize("check", of_objectives.CHECKS, ids=lambda check: check.__name__)
def test_every_objective_conforms(check, name):
    assert check(name) is None


HEAD = """
import torch

from kbench.similarity.features import RandomFeatures
from kbench.similarity.variants.{module} import {base}


class Faulty({base}):
    name = "faulty"
    formula = {formula!r}
    source = "made up"
"""
SCALED = """
    def features(self, sets, side, draw):
        return super().features(sets, side, draw) * 1.01
"""
ORDERED = """
    def features(self, sets, side, draw):
        return super().features(sets, side, draw) + sets.points[:, 0]
"""
APART = """
    def compare(self, images, texts):
        return super().compare(images, texts) + 0.25
"""
DETACHED = """
    def features(self, sets, side, draw):
        found = super().features(sets, side, draw)
        return found + (found - found.detach())
"""
INFINITE = """
    def features(self, sets, side, draw):
        return sets.mean() / sets.mean().norm(dim=-1, keepdim=True)
"""
SILENT = """
    def represent(self, sets, side, draw=None, check=True):
        return super().represent(sets, side, draw, check=False)
"""
HALF = """
    def compare(self, images, texts):
        return super().compare(images, texts).bfloat16()
"""
FIXED = """
    def random_features(self, number, estimator, dim, generator, dtype):
        return super().random_features(number, estimator, dim, torch.Generator().manual_seed(0), dtype)
"""
FAULTS = {
    "describes itself": ("cosine", "Cosine", "", "", "`formula` has to be one line of text"),
    "agrees with its reference": (
        "cosine",
        "Cosine",
        "f",
        SCALED,
        "the scores differ from the reference by up to 0.0",
    ),
    "ignores the order of points": (
        "cosine",
        "Cosine",
        "f",
        ORDERED,
        "reordered points differ from those before by",
    ),
    "scores are inner products of its features": (
        "cosine",
        "Cosine",
        "f",
        APART,
        "of features by up to 0.25",
    ),
    "has right gradients": ("cosine", "Cosine", "f", DETACHED, "not those of finite differences"),
    "stays finite on hard sets": (
        "cosine",
        "Cosine",
        "f",
        INFINITE,
        "not finite on weights of zero",
    ),
    "draws from its generator alone": (
        "wpse_gaussian",
        "WpseGaussian",
        "f",
        FIXED,
        "draw the same frequencies",
    ),
    "names input that is not finite": (
        "cosine",
        "Cosine",
        "f",
        SILENT,
        "NaN is scored without a word",
    ),
    "scores in single precision under autocast": (
        "cosine",
        "Cosine",
        "f",
        HALF,
        "are torch.bfloat16",
    ),
}


def test_each_check_has_a_fault_that_it_must_find():
    assert set(FAULTS) == {check.__name__.replace("_", " ") for check in of_similarities.CHECKS}


@pytest.mark.parametrize("check", FAULTS)
def test_a_similarity_with_a_fault_fails_the_check_with_a_figure_and_status_1(
    kbench, tmp_path, check
):
    module, base, formula, body, sentence = FAULTS[check]
    folder = tmp_path / "workflow" / "variants"
    folder.mkdir(parents=True)
    (folder / "faulty.py").write_text(HEAD.format(module=module, base=base, formula=formula) + body)
    done = kbench("conform", "workflow/variants/faulty.py", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith(f"FAILS  {check}: ")]
    assert len(failed) == 1 and sentence in failed[0], done.stdout


def test_a_similarity_without_a_reference_is_told_to_have_one(kbench, tmp_path):
    (tmp_path / "workflow" / "variants").mkdir(parents=True)
    text = (ROOT / "kbench" / "similarity" / "variants" / "cosine.py").read_text()
    start, end = text.index("    def reference("), text.index("    def class_features(")
    text = (text[:start] + text[end:]).replace('name = "cosine"', 'name = "faulty"')
    (tmp_path / "workflow" / "variants" / "faulty.py").write_text(text)
    done = kbench("conform", "faulty", cwd=tmp_path)
    assert done.returncode == 1 and "it has no `reference`" in done.stdout


def test_an_objective_that_says_it_is_blind_to_a_shift_and_is_not_fails(kbench, tmp_path):
    (tmp_path / "workflow" / "objectives").mkdir(parents=True)
    text = (ROOT / "kbench" / "objective" / "sigmoid.py").read_text()
    text = text.replace('name = "sigmoid"', 'name = "faulty"\n    blind_to_shift = True')
    (tmp_path / "workflow" / "objectives" / "faulty.py").write_text(text)
    done = kbench("conform", "faulty", cwd=tmp_path)
    assert done.returncode == 1 and "adding 1 to all logits changes the loss by" in done.stdout


@pytest.mark.parametrize(
    "part, fault, sentence",
    [
        ("return WEIGHT *", "return 1 / (texts - texts).sum() + WEIGHT *", "pairs has shape (): "),
        ("pairs = ", "images = images.detach()\n        pairs = ", "are absent"),
        ("return WEIGHT *", "return images[0].sum() + WEIGHT *", "changes the loss of features by"),
    ],
)
def test_an_objective_of_features_with_a_fault_fails(kbench, tmp_path, part, fault, sentence):
    (tmp_path / "workflow" / "objectives").mkdir(parents=True)
    text = (ROOT / "kbench" / "objective" / "kcl.py").read_text()
    text = text.replace('name = "kcl"', 'name = "faulty"')
    assert part in text
    (tmp_path / "workflow" / "objectives" / "faulty.py").write_text(text.replace(part, fault))
    done = kbench("conform", "faulty", cwd=tmp_path)
    assert done.returncode == 1 and sentence in done.stdout, done.stdout


def test_the_example_of_the_readme_conforms_beside_the_experiments(kbench, tmp_path):
    (tmp_path / "workflow" / "variants").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "wpse_laplace.py", tmp_path / "workflow" / "variants")
    done = kbench("conform", "wpse-laplace", cwd=tmp_path)
    assert done.returncode == 0 and "9 of 9 hold" in done.stdout


def test_what_is_no_component_is_refused(kbench, refused, tmp_path):
    refused(
        kbench("conform", "cosin"),
        "unknown similarity, objective, task or dataset 'cosin'; did you mean 'cosine'?",
    )
    refused(kbench("conform", "absent.py"), "no such file: absent.py")
    (tmp_path / "astray.py").write_text("")
    refused(kbench("conform", tmp_path / "astray.py"), "defines no component")
