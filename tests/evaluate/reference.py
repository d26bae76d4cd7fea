"""scikit-learn's logistic regression, as far as it gets."""

import numpy as np
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight


def reference(x, y, C, balanced=False):
    """Fit in float64, to a tolerance far below the default's."""
    weights = "balanced" if balanced else None
    model = LogisticRegression(C=C, tol=1e-9, max_iter=100_000, class_weight=weights)
    return model.fit(np.asarray(x, dtype=np.float64), y)


def objective(model, x, y, C, balanced=False):
    """Return C sum_i s_i loss_i + |W|^2 / 2 of a fitted LogisticRegression."""
    scores = np.asarray(x, dtype=np.float64) @ model.coef_.T + model.intercept_
    if scores.shape[1] == 1:
        scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
    right = scores[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    weights = compute_sample_weight("balanced" if balanced else None, y)
    return (
        C * (weights * (logsumexp(scores, axis=1) - right)).sum() + np.square(model.coef_).sum() / 2
    )
