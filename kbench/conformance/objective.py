"""What every objective must do."""

import torch

from kbench import objective

BATCH, WIDTH = 6, 4
TOLERANCE = 1e-9


def describes_itself(name: str) -> str | None:
    """It has a formula and a source of one line."""
    declared = objective.get(name)
    for key in ("formula", "source"):
        text = getattr(declared, key, "")
        if not text or "\n" in text:
            return f"`{key}` has to be one line of text; it is {text!r}"
    return None


def is_a_finite_scalar(name: str) -> str | None:
    """Of float32 and float64 logits, large ones too, it is one finite number of their precision."""
    created = objective.create(name)
    for scale in (1.0, 100.0):
        for dtype in (torch.float32, torch.float64):
            loss = created(scale * logits().to(dtype))
            if loss.shape != () or not bool(loss.isfinite()):
                return (
                    f"the loss of {dtype} logits of size {scale:g} has shape {tuple(loss.shape)}:"
                    f" {loss.tolist()}"
                )
    return None


def has_right_gradients(name: str) -> str | None:
    """Gradients are those of finite differences."""
    created = objective.create(name).double()
    try:
        torch.autograd.gradcheck(created, (logits().requires_grad_(),))
    except (RuntimeError, AssertionError) as error:
        return (
            f"gradients are not those of finite differences: {' '.join(str(error).split())[:200]}"
        )
    return None


def does_not_depend_on_the_order_of_pairs(name: str) -> str | None:
    """A batch has no order."""
    created, given = objective.create(name).double(), logits()
    order = torch.tensor([2, 0, 5, 1, 4, 3])
    apart = abs(float(created(given).detach() - created(given[order][:, order]).detach()))
    return (
        f"reordering the pairs of a batch changes the loss by {apart:.3g}"
        if apart > TOLERANCE
        else None
    )


def is_as_blind_to_a_shift_as_it_says(name: str) -> str | None:
    """`blind_to_shift` is true if and only if adding one number to all logits leaves the loss as it
    is.
    """
    created, given = objective.create(name).double(), logits()
    change = abs(float(created(given + 1).detach() - created(given).detach()))
    if (change < 1e-9) == created.blind_to_shift:
        return None
    return (
        f"adding 1 to all logits changes the loss by {change:.3g}, but blind_to_shift is"
        f" {created.blind_to_shift}"
    )


def is_a_finite_scalar_of_features(name: str) -> str | None:
    """Where it sees features: of the first batch and of the second, of one pair too, it is one
    finite number with finite gradients.
    """
    created = objective.create(name)
    if not created.sees_features:
        return None
    created.prepare(WIDTH)
    for pairs in (BATCH, BATCH, 1):
        sides = [side[:pairs].float().requires_grad_() for side in features()]
        loss = created.of_features(*sides, torch.tensor(14.0))
        if loss.shape != () or not bool(loss.isfinite()):
            return (
                f"the loss of features of {pairs} pairs has shape {tuple(loss.shape)}:"
                f" {loss.tolist()}"
            )
        slopes = torch.autograd.grad(loss, sides, allow_unused=True)
        if not all(slope is not None and bool(slope.isfinite().all()) for slope in slopes):
            return f"gradients of features of {pairs} pairs are absent or not finite"
    return None


def does_not_depend_on_the_order_of_features(name: str) -> str | None:
    """Where it sees features: a batch has no order."""
    created = objective.create(name)
    if not created.sees_features:
        return None
    created.prepare(WIDTH)
    created.double().eval()
    images, texts = features()
    order = torch.tensor([2, 0, 5, 1, 4, 3])
    losses = [created.of_features(images[by], texts[by], 3.0) for by in (order, order.sort()[0])]
    apart = abs(float((losses[0] - losses[1]).detach()))
    return (
        f"reordering the pairs of a batch changes the loss of features by {apart:.3g}"
        if apart > 1e-9
        else None
    )


def is_a_finite_scalar_of_likelihoods(name: str) -> str | None:
    """Where it sees likelihoods: of a batch and of one pair it is one finite number with finite
    gradients, whatever the order of pairs.
    """
    created = objective.create(name)
    if not created.sees_likelihoods:
        return None
    for pairs in (BATCH, 1):
        given = (-20 * logits()[0, :pairs].abs()).requires_grad_()
        loss, reordered = (created.of_likelihoods(x) for x in (given, given.flip(0)))
        if loss.shape != () or not bool(loss.isfinite()):
            return (
                f"the loss of likelihoods of {pairs} pairs has shape {tuple(loss.shape)}:"
                f" {loss.tolist()}"
            )
        if not bool(torch.autograd.grad(loss, given)[0].isfinite().all()):
            return f"gradients of likelihoods of {pairs} pairs are not finite"
        if (apart := abs(float((loss - reordered).detach()))) > TOLERANCE:
            return f"reordering the pairs of a batch changes the loss of likelihoods by {apart:.3g}"
    return None


CHECKS = (
    describes_itself,
    is_a_finite_scalar,
    has_right_gradients,
    does_not_depend_on_the_order_of_pairs,
    is_as_blind_to_a_shift_as_it_says,
    is_a_finite_scalar_of_features,
    does_not_depend_on_the_order_of_features,
    is_a_finite_scalar_of_likelihoods,
)


def features() -> list[torch.Tensor]:
    """Return random features of both sides, of length 1, float64."""
    drawn = torch.randn(
        2, BATCH, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return list(torch.nn.functional.normalize(drawn, dim=-1))


def logits() -> torch.Tensor:
    """Return random logits, float64."""
    return torch.randn(
        BATCH, BATCH, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
