"""Every formula again, as loops over plain float64 numbers: what the fast code is compared with.

A set is a list of (weight, point). Nothing here uses kbench or torch.
"""

import math

import numpy as np

KERNELS = {
    "gaussian": lambda r, length: math.exp(-r * r / (2 * length * length)),
    "imq": lambda r, length: length / math.sqrt(length * length + r * r),
    "laplace": lambda r, length: math.exp(-r / length),
}


def unit(point):
    return point / max(math.sqrt(float(point @ point)), 1e-6)


def weighted(x, y, a1, a2, kernel):
    """mean_ij w_i u_j [a1 <v_i, t_j> + a2 k(v_i, t_j)]."""
    total = 0.0
    for w, v in x:
        for u, t in y:
            v1, t1 = unit(v), unit(t)
            total += w * u * (a1 * float(v1 @ t1) + (a2 * kernel(v1, t1) if a2 else 0.0))
    return total / (len(x) * len(y))


def exact_kernel(name, length):
    return lambda v, t: KERNELS[name](math.sqrt(float((v - t) @ (v - t))), length)


def random_kernel(frequencies, phases):
    """(2 / D) sum_k cos(W_k v + b_k) cos(W_k t + b_k)."""

    def kernel(v, t):
        pairs = zip(frequencies, phases, strict=True)
        return 2 / len(phases) * sum(math.cos(w @ v + b) * math.cos(w @ t + b) for w, b in pairs)

    return kernel


def present(x):
    return [v for w, v in x if w != 0]


def mean_point(x):
    points = present(x)
    return sum(points) / len(points) if points else 0 * x[0][1]


def cosine(x, y):
    return float(unit(mean_point(x)) @ unit(mean_point(y)))


def filip(x, y):
    xs, ys = [unit(v) for v in present(x)], [unit(t) for t in present(y)]
    forward = np.mean([max(float(v @ t) for t in ys) for v in xs])
    backward = np.mean([max(float(v @ t) for v in xs) for t in ys])
    return (forward + backward) / 2


def hyperbolic(x, y, curvature):
    def lift(v):
        v = v / math.sqrt(len(v))
        root = math.sqrt(curvature) * math.sqrt(float(v @ v))
        space = math.sinh(root) / root * v
        return math.sqrt(1 / curvature + float(space @ space)), space

    (x0, xs), (y0, ys) = lift(mean_point(x)), lift(mean_point(y))
    return -math.acosh(curvature * (x0 * y0 - float(xs @ ys))) / math.sqrt(curvature)


def score(similarity, x, y, draw=None):
    """The score of two sets by the formula of a variant, given its validated settings."""
    settings = similarity.settings
    if hasattr(similarity, "kernel"):
        kernel = similarity.kernel
        kernel = random_kernel(*draw) if draw else exact_kernel(kernel.name, kernel.length)
        return weighted(x, y, settings.a1, settings.a2, kernel)
    formulas = {
        "cosine": cosine,
        "cosine-mean": cosine,
        "filip": filip,
        "hyperbolic": lambda x, y: hyperbolic(x, y, settings.curvature),
        "wpse-linear": lambda x, y: weighted(x, y, settings.a1, 0, None),
    }
    if similarity.name not in formulas:
        raise LookupError(f"write the formula of {similarity.name} as a loop in tests/similarity/formulas.py")
    return formulas[similarity.name](x, y)
