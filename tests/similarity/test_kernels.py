"""Every kernel and every estimator, found by itself."""

import functools
import math

import numpy as np
import point_sets
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from kbench.errors import UserError
from kbench.similarity import estimators, kernels
from kbench.similarity.features import RandomFeatures
from kbench.similarity.kernels.base import half_normal

KERNELS = {
    "gaussian": lambda r, length: math.exp(-r * r / (2 * length * length)),
    "imq": lambda r, length: length / math.sqrt(length * length + r * r),
    "laplace": lambda r, length: math.exp(-r / length),
}
"""Every kernel of a distance r, as its source has it."""

every_kernel = pytest.mark.parametrize("name", kernels.names())
every_estimator = pytest.mark.parametrize("method", estimators.names())
lengths = st.floats(0.05, 20)


@every_kernel
@given(length=lengths, distance=st.floats(0, 50))
def test_value_agrees_with_the_formula(name, length, distance):
    value = kernels.get(name)(length).value(torch.tensor(distance**2, dtype=torch.float64))
    assert value.item() == pytest.approx(KERNELS[name](distance, length), rel=1e-12, abs=1e-300)


@every_kernel
@given(length=lengths)
def test_one_at_distance_zero(name, length):
    for dtype in (torch.float32, torch.float64):
        assert kernels.get(name)(length).value(torch.zeros((), dtype=dtype)).item() == 1


@every_kernel
@settings(deadline=None)
@given(
    length=lengths, number=st.integers(1, 20), dim=st.integers(1, 30), seed=st.integers(0, 2**31)
)
def test_positive_semi_definite(name, length, number, dim, seed):
    points = torch.randn(number, dim, generator=point_sets.generator(seed), dtype=torch.float64)
    squares = (points[:, None] - points).square().sum(-1)
    assert torch.linalg.eigvalsh(kernels.get(name)(length).value(squares)).min() > -1e-10


@every_kernel
@pytest.mark.parametrize("distance", [0.1, 0.5, 1.0, 2.0])
def test_mixture_of_gaussians_is_the_kernel(name, distance):
    """k(r) = E exp(-s^2 r^2 / 2), with the expectation taken by the midpoint rule over the uniform
    number.
    """
    kernel = kernels.get(name)(0.5)
    uniform = (torch.arange(1_000_000, dtype=torch.float64) + 0.5) / 1_000_000
    mean = torch.exp(-(kernel.scales(uniform) ** 2) * distance**2 / 2).mean().item()
    assert mean == pytest.approx(KERNELS[name](distance, 0.5), rel=1e-6)


def test_half_normal_in_both_tails():
    uniform = torch.tensor(
        [0, 1e-12, 1e-6, 0.5, 1 - 1e-6, 1 - 1e-12, 1 - 2**-53], dtype=torch.float64
    )
    drawn = half_normal(uniform)
    expected = stats.halfnorm.isf(1 - uniform[1:-1].numpy())
    np.testing.assert_allclose(drawn[2:-1], expected[1:], rtol=1e-9)
    assert 0 < drawn[0] < 1e-15 and 8.2 < drawn[-1] < 8.4
    assert drawn[1].item() == pytest.approx(1e-12 * np.sqrt(np.pi / 2), rel=1e-9)


@functools.cache
def bessel_law(dim):
    """Distribution function of the published radial density r^nu K_nu(r), nu = (d - 1) / 2, for
    even d.

    With n = nu - 1/2 it is exp(-r) theta_n(r), theta the reverse Bessel polynomials: theta_n = (2 n
    - 1) theta_(n - 1) + r^2 theta_(n - 2); a common factor is taken out at each step.
    """
    radii = np.linspace(0, 6 * np.sqrt(dim) + 10, 20_001)
    before, now = np.ones_like(radii), 1 + radii
    for n in range(2, dim // 2):
        before, now = now, (2 * n - 1) * now + radii**2 * before
        before, now = before / now[0], now / now[0]
    density = np.exp(-radii) * (now if dim > 2 else before)
    total = integrate.cumulative_simpson(density, x=radii, initial=0)
    return lambda r: np.interp(r, radii, total / total[-1])


def test_the_bessel_law_is_that_of_the_bessel_function():
    for dim in (2, 4, 64):
        nu = (dim - 1) / 2
        total, _ = integrate.quad(lambda r, nu=nu: r**nu * special.kv(nu, r), 0, np.inf)
        half, _ = integrate.quad(lambda r, nu=nu: r**nu * special.kv(nu, r), 0, dim**0.5)
        assert bessel_law(dim)(dim**0.5) == pytest.approx(half / total, rel=1e-6)


@pytest.mark.parametrize("dim", [2, 64, 512, 1024])
@every_estimator
def test_imq_frequencies_follow_the_published_bessel_density(dim, method):
    number = 2 * dim if method == "orthogonal" else 8192 // (dim // 2)
    kernel, generator = kernels.get("imq")(0.5), point_sets.generator(dim)
    drawn = []
    while sum(map(len, drawn)) < (2000 if dim > 64 else 8000):
        frequencies, _ = estimators.get(method).draw(kernel, number, dim, generator, torch.float64)
        unique = frequencies if method == "rff" else frequencies[: number // 2]
        drawn.append(unique.norm(dim=1).numpy() * 0.5)
    # Stratified lengths are closer to the law than independent ones, which the test's bound allows.
    assert stats.kstest(np.concatenate(drawn), bessel_law(dim)).pvalue > 1e-3


@pytest.mark.parametrize("dim", [2, 512])
def test_one_imq_row_in_a_million_is_right_too(dim):
    """Frequencies are not cut off: rows whose |n| exceeds the 1e-5 quantile are as many as they
    should be.
    """
    radii = kernels.get("imq")(1.0).scales(
        torch.rand(1_000_000, generator=point_sets.generator(), dtype=torch.float64)
    )
    radii = radii.numpy() * np.sqrt(np.random.default_rng(0).chisquare(dim, 1_000_000))
    # P(|n| chi_d > r), by quadrature over |n|.
    for probability in (1e-3, 1e-5):
        radius = np.quantile(radii, 1 - probability)
        expected, _ = integrate.quad(
            lambda n, r=radius: 2 * stats.norm.pdf(n) * stats.chi2.sf((r / n) ** 2, dim),
            0,
            12,
            limit=500,
        )
        count = 1_000_000 * probability
        assert abs(expected * 1_000_000 - count) < 5 * np.sqrt(count)


def unit_points(number, dim, seed=0):
    points = torch.randn(number, dim, generator=point_sets.generator(seed), dtype=torch.float64)
    return points / points.norm(dim=1, keepdim=True)


def estimates(name, method, points, features, draws, seed=0):
    """The kernel matrix by random features, for several draws (draws, n, n)."""
    kernel, generator = kernels.get(name)(0.5), point_sets.generator(seed)
    result = []
    for _ in range(draws):
        drawn = estimators.get(method).draw(
            kernel, features, points.shape[1], generator, torch.float64
        )
        draw = RandomFeatures(*drawn)
        mapped = draw.factor * torch.cos(points @ draw.frequencies.T + draw.phases)
        result.append(mapped @ mapped.T)
    return torch.stack(result)


@every_kernel
@every_estimator
@pytest.mark.parametrize("dim", [3, 24])
def test_random_features_are_unbiased(name, method, dim):
    points = unit_points(5, dim)
    points[1] = points[0] + 0.05 * points[1]
    points[1] /= points[1].norm()
    squares = (points[:, None] - points).square().sum(-1)
    drawn = estimates(name, method, points, 32, 1500)
    error = drawn.mean(0) - kernels.get(name)(0.5).value(squares)
    assert (error.abs() <= 4 * drawn.std(0) / 1500**0.5 + 1e-12).all()


@every_kernel
def test_orthogonal_features_vary_less_than_the_published(name):
    points = unit_points(12, 16)
    squares = (points[:, None] - points).square().sum(-1)
    exact = kernels.get(name)(0.5).value(squares)
    published, ours = (
        (estimates(name, m, points, 64, 60) - exact).square().mean() for m in ("rff", "orthogonal")
    )
    assert ours < published


@every_estimator
def test_orthogonal_blocks_or_not(method):
    frequencies, phases = estimators.get(method).draw(
        kernels.get("gaussian")(0.5), 20, 6, point_sets.generator(), torch.float32
    )
    assert (
        frequencies.shape == (20, 6)
        and phases.shape == (20,)
        and frequencies.dtype == torch.float32
    )
    directions = frequencies[:6] / frequencies[:6].norm(dim=1, keepdim=True)
    assert torch.allclose(directions @ directions.T, torch.eye(6), atol=1e-5) == (
        method == "orthogonal"
    )


@every_estimator
def test_directions_are_uniform_and_phases_too(method):
    """Every coordinate of every row is as often positive as negative, which a plain QR would not
    give.
    """
    generator, kernel = point_sets.generator(), kernels.get("gaussian")(0.5)
    drawn = [
        estimators.get(method).draw(kernel, 8, 3, generator, torch.float64) for _ in range(1000)
    ]
    positive = torch.stack([frequencies > 0 for frequencies, _ in drawn]).double().mean(0)
    assert (positive - 0.5).abs().max() < 4 * 0.5 / 1000**0.5
    if method == "rff":
        phases = torch.cat([phases for _, phases in drawn])
        assert stats.kstest(phases.numpy() / (2 * np.pi), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("method", ["paired", "orthogonal"])
def test_an_odd_number_is_refused_where_features_come_in_pairs(method):
    with pytest.raises(UserError, match="7 is odd"):
        estimators.get(method).draw(
            kernels.get("imq")(1.0), 7, 4, point_sets.generator(), torch.float32
        )


@pytest.mark.parametrize("package, what", [(kernels, "kernel"), (estimators, "estimator")])
def test_unknown_names(package, what):
    with pytest.raises(UserError, match=f"unknown {what} 'lapalce'"):
        package.get("lapalce")
