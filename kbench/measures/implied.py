"""The classifier that scores of images with captions imply, and how often its gap to PMI lets it be
wrong.

Scores s of an image with captions y_1 ... y_C, drawn without regard to it, say that y_j is the
image's with probability q_j = exp s_j / sum_k exp s_k; PMI in the place of s says p_j. The gap of
the image is KL(p || q), its part of the image-to-text InfoNCE above PMI's. A class c is given the
probability Q_c, the sum of q_j over the captions that name it, and P_c of p_j.

By the data processing inequality KL(p || q) is at least KL(P || Q). For the true class c and
another one with Q_c' >= Q_c, though P_c > P_c', the latter is at least
    m = P_c log(2 P_c / (P_c + P_c')) + P_c' log(2 P_c' / (P_c + P_c')),
which it is at Q_c = Q_c' = (P_c + P_c') / 2 (all else as in P). So no image is misclassified whose
gap is below its margin, the least m over the other classes, and the share that is misclassified is
at most the mean of min(1, gap / margin). The derivation is kbench's; the theorem of arXiv
2404.19228 is about linear classifiers, and the gap is one term of several in it.
"""

import torch


def gaps(learned: torch.Tensor, optimal: torch.Tensor) -> torch.Tensor:
    """Return the gap of each image (N,), nats, from scores and PMI (N, C) with the same
    captions.
    """
    of_learned, of_optimal = learned.log_softmax(1), optimal.log_softmax(1)
    return (of_optimal.exp() * (of_optimal - of_learned)).sum(1).clamp(min=0)


def class_shares(scores: torch.Tensor, named: torch.Tensor, classes: int) -> torch.Tensor:
    """Return the probability (N, classes) of each class, from scores (N, C) with captions and the
    class (C,) that each names, -1 where it names none.
    """
    names = torch.nn.functional.one_hot(named + 1, classes + 1).to(scores)
    return (scores.softmax(1) @ names)[:, 1:]


def wrong(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return whether another class has at least the probability of the true one (N,), from shares
    (N, classes) and true classes (N,).
    """
    own = shares.gather(1, truth[:, None])
    return (shares >= own).sum(1) > 1


def margins(shares: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return the least gap (N,), nats, with which each image can be misclassified, from PMI's
    shares (N, classes) and true classes (N,); 0 where PMI itself is wrong.
    """
    own = shares.gather(1, truth[:, None])
    mean = (own + shares) / 2
    costs = torch.xlogy(own, own / mean) + torch.xlogy(shares, shares / mean)
    costs = torch.where(own > shares, costs, 0)
    return costs.scatter(1, truth[:, None], torch.inf).amin(1)


def at_most(gap: torch.Tensor, margin: torch.Tensor) -> torch.Tensor:
    """Return the most that each image (N,) can add to the share that is misclassified."""
    return torch.where(gap < margin, gap / margin, 1.0)
