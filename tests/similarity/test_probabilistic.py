"""Embeddings with variances: what they score, as the released code does, and what they learn."""

import os
import re

import numpy as np
import point_sets
import pytest
import torch

from kbench import similarity
from kbench.floor import search
from kbench.similarity.sets import PointSet
from kbench.towers.output import TowerOutput
from kbench.world import World

both = pytest.mark.parametrize("name", ["pcme", "prolip"])


def one_point(means, log_variances):
    points = torch.cat([means, log_variances[:, None]], dim=1)[:, None]
    return PointSet(points, points.new_ones(points.shape[:2]))


def drawn(seed, samples, dim=6):
    generator = point_sets.generator(seed)
    means = torch.randn(samples, dim, generator=generator, dtype=torch.float64)
    return means / means.norm(dim=1, keepdim=True), torch.randn(
        samples, generator=generator, dtype=torch.float64
    )


def test_pcme_is_twice_prolip_less_two():
    images, texts = one_point(*drawn(1, 5)), one_point(*drawn(2, 4))
    of_prolip, of_pcme = (similarity.create(n).scores(images, texts) for n in ("prolip", "pcme"))
    torch.testing.assert_close(of_pcme, 2 * of_prolip - 2, rtol=1e-12, atol=1e-12)


def test_pcme_is_the_expected_squared_distance():
    """Of 200,000 draws of each of two normal distributions."""
    (v, a), (t, b) = drawn(1, 1), drawn(2, 1)
    generator = point_sets.generator(3)
    x, y = (
        mean + (log_variance / 2).exp()[:, None] * torch.randn(200_000, 6, generator=generator)
        for mean, log_variance in ((v, a), (t, b))
    )
    distances = (x - y).square().sum(1)
    error = float(distances.std() / len(distances) ** 0.5)
    score = similarity.create("pcme").scores(one_point(v, a), one_point(t, b)).item()
    assert -score == pytest.approx(float(distances.mean()), abs=5 * error)


@both
def test_variances_begin_where_they_are_set_and_learn(name):
    torch.manual_seed(0)
    created = similarity.create(name, {"log_variance": -3}, {"image": 10_000, "text": 10_000})
    pooled = torch.randn(50, 10_000)
    output = TowerOutput(pooled[:, None], pooled, lambda x: x[:, :6])
    for side in ("image", "text"):
        log_variances = created.embed(output, side).points[:, 0, 6].detach()
        assert log_variances.mean() == pytest.approx(-3, abs=0.5) and log_variances.std() < 1.5
    created.scores(created.embed(output, "image"), created.embed(output, "text")).sum().backward()
    for head in created.sets.log_variances.values():
        assert head.weight.grad.abs().max() > 0 and head.bias.grad.abs().max() > 0


@pytest.mark.skipif("KBENCH_PROLIP" not in os.environ, reason="KBENCH_PROLIP names no code")
def test_prolip_is_the_released_code():
    """KBENCH_PROLIP: src/prolip/loss.py of github naver-ai/prolip, whose variances are one for
    each dimension.
    """
    import runpy

    loss = runpy.run_path(os.environ["KBENCH_PROLIP"])["ProLIPLoss"]()
    generator = point_sets.generator(4)
    (v, _), (t, _) = drawn(1, 5), drawn(2, 5)
    stds = [torch.randn(5, 6, generator=generator, dtype=torch.float64) for _ in "vt"]
    expected, *_ = loss.get_prolip_logits(v, t, *stds, logit_scale=7.0, logit_bias=-10.0)
    images, texts = (
        one_point(mean, (std.exp().mean(1)).log()) for mean, std in zip((v, t), stds, strict=True)
    )
    scores = similarity.create("prolip").scores(images, texts)
    torch.testing.assert_close(7.0 * scores - 10.0, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.skipif("KBENCH_PCMEPP" not in os.environ, reason="KBENCH_PCMEPP names no code")
def test_pcme_is_the_released_code():
    """KBENCH_PCMEPP: pcmepp/criterions/pcmepp.py of github naver-ai/pcmepp."""
    import runpy

    loss = runpy.run_path(os.environ["KBENCH_PCMEPP"])["ClosedFormSampledDistanceLoss"]()
    generator = point_sets.generator(4)
    (v, _), (t, _) = drawn(1, 5), drawn(2, 5)
    stds = [torch.randn(5, 6, generator=generator, dtype=torch.float64) for _ in "vt"]
    inputs = [{"mean": m, "std": s} for m, s in zip((v, t), stds, strict=True)]
    matched = torch.eye(5, dtype=torch.float64)
    expected = loss._compute_closed_form_loss(*inputs, matched)["loss"]
    images, texts = (
        one_point(mean, std.exp().mean(1).log()) for mean, std in zip((v, t), stds, strict=True)
    )
    logits = 5 * similarity.create("pcme").scores(images, texts) + 5
    ours = torch.nn.functional.binary_cross_entropy_with_logits(logits, matched)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-6)


def test_a_caption_that_says_more_has_the_lower_pmi_on_average():
    """Over all scenes: what a caption adds to its scores by itself has to fall as it names more."""
    world = World()
    mean = world.prior @ world.pmi
    by_named = [mean[world.specificity == k].mean() for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(by_named, [-1.857, -2.268, -2.649, -2.867], atol=5e-4)


@pytest.mark.whole
def test_free_vectors_give_the_least_variance_to_captions_that_say_least():
    """Not as the papers have it, whose training has other losses beside the contrastive one."""
    world = World()
    joint = torch.from_numpy(world.p * world.prior[:, None]).float()
    model = search._start("prolip", {}, 8, 1, joint.shape, 0)
    search._descend(model, joint, 200)
    with torch.inference_mode():
        captions = model.captions
        output = TowerOutput(captions, captions.mean(1), lambda token: token[..., :8])
        log_variances = model.similarity.embed(output, "text").points[:, 0, -1].numpy()
    of_caption = joint.sum(0).numpy()
    by_named = [
        np.average(log_variances[chosen], weights=of_caption[chosen])
        for chosen in (world.specificity == k for k in (1, 2, 3, 4))
    ]
    assert by_named[0] < min(by_named[1:]) - 1


def test_the_formulas_say_which_released_code_they_are_of():
    for name, number in (("pcme", "2305.18171"), ("prolip", "2410.18857")):
        assert re.search(number, similarity.get(name).source)
