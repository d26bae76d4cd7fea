"""One training step: the same gradient with less memory, and nothing changed by a step that is not
finite.
"""

import copy

import parts
import pytest
import torch

from kbench import objective
from kbench.errors import UserError
from kbench.pretrain import batch as batch_loss
from kbench.pretrain.processes import Processes

PLAIN = "micro-batches"


def alone(case, **changes):
    return parts.trainer(case, Processes(), **changes)


@pytest.mark.parametrize("size", [1, 3, 8, 100])
@pytest.mark.parametrize(
    "case",
    [
        "micro-batches",
        "micro-batches, without features",
        "micro-batches, moments",
        "micro-batches, cones",
    ],
)
def test_micro_batches_do_what_the_whole_batch_does(case, size):
    whole = parts.train(alone(case, micro_batch_size=None))
    for name, found in parts.train(alone(case, micro_batch_size=size)).items():
        torch.testing.assert_close(
            found, whole[name], rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )


def bytes_kept(trainer):
    """Return the size of what one forward pass keeps for backward."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer._loss(*parts.batches(trainer.processes)[0])
    return sum(kept.values())


def test_micro_batches_and_checkpointed_blocks_keep_less():
    whole = bytes_kept(alone(PLAIN, micro_batch_size=None))
    assert bytes_kept(alone(PLAIN, micro_batch_size=2)) < whole / 4
    assert (
        bytes_kept(alone(PLAIN, micro_batch_size=None, activation_checkpointing=True)) < whole / 2
    )


@pytest.mark.parametrize("case", ["cosine", PLAIN])
def test_activation_checkpointing_changes_nothing(case):
    whole = parts.train(alone(case, micro_batch_size=None))
    found = parts.train(alone(case, micro_batch_size=None, activation_checkpointing=True))
    assert all(torch.equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize("block", [1, 20, 64, 1000])
@pytest.mark.parametrize("case", ["hyperbolic, sigmoid", PLAIN])
def test_blocks_of_logits_do_what_all_at_once_do(monkeypatch, case, block):
    """Of 8 x 8 logits: one row at a time, blocks that do not divide the batch, all."""
    whole = parts.train(alone(case))
    monkeypatch.setattr(batch_loss, "BLOCK", block)
    for name, found in parts.train(alone(case)).items():
        torch.testing.assert_close(
            found, whole[name], rtol=1e-9, atol=1e-9, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_blocks_of_logits_keep_none_of_them(monkeypatch):
    """What is kept for backward grows with the square of a batch without blocks, and not with."""
    model = alone(PLAIN, dtype=torch.float32, micro_batch_size=None).model
    generator = torch.Generator().manual_seed(0)
    sides = [{"features": torch.randn(512, 4, generator=generator).requires_grad_()} for _ in "xy"]
    kept = {}
    for block in (1 << 24, 1 << 12):
        monkeypatch.setattr(batch_loss, "BLOCK", block)
        loss = batch_loss.BatchLoss(model, Processes(), None)
        seen = {}

        def keep(tensor, seen=seen):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            value = loss._by_rows(*sides)
        kept[block] = sum(seen.values())
        value.backward()
    assert kept[1 << 24] > 512 * 512 * 4 > 10 * kept[1 << 12]


def test_micro_batches_are_refused_where_the_batch_is_normalised():
    with pytest.raises(
        UserError, match=r"micro_batch_size 4: visual\.trunk.* normalises over the batch"
    ):
        alone("cosine", micro_batch_size=4)


@pytest.mark.whole
def test_compiled_blocks_do_what_others_do(monkeypatch):
    compiled, plainly = [], torch.nn.Module.compile

    def trace(module):
        compiled.append(type(module).__name__)
        plainly(module, backend="aot_eager")  # generating code for a CPU would take minutes

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    batch = parts.batches(Processes())[0]
    plain, traced = (alone(PLAIN, dtype=torch.float32, compile=x) for x in (False, True))
    torch.testing.assert_close(plain.step(*batch), traced.step(*batch), rtol=1e-4, atol=1e-4)
    assert plain.model.state_dict().keys() == traced.model.state_dict().keys()
    # Two of the image tower, one of the text tower.
    assert compiled == ["ResidualAttentionBlock"] * 3


def test_clipping_bounds_the_gradient_and_reports_its_norm():
    free, clipped = alone("cosine"), alone("cosine", clip_norm=0.01)
    batch = parts.batches(Processes())[0]
    norm, reported = (trainer.step(*batch)["gradient_norm"] for trainer in (free, clipped))
    assert norm == reported and norm > 0.01
    left = torch.nn.utils.get_total_norm([p.grad for p in clipped.model.parameters()])
    assert left == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(precision):
    trainer = alone(PLAIN, dtype=torch.float32, precision=precision)
    before = copy.deepcopy(trainer.model.state_dict())
    losses = [trainer.step(*batch)["loss"] for batch in parts.batches(Processes())]
    exact = alone(PLAIN).step(*parts.batches(Processes())[0])["loss"]
    torch.testing.assert_close(losses[0].double(), exact, rtol=0.02, atol=0)
    assert torch.stack(losses).isfinite().all()
    assert not torch.equal(
        before["towers.visual.proj"], trainer.model.state_dict()["towers.visual.proj"]
    )


def infinite_loss(logits):
    return logits.sum() / 0


def infinite_gradient(logits):
    return logits.sum() * 0 + (logits.sum() * 0).sqrt()


@pytest.mark.parametrize("broken", [infinite_loss, infinite_gradient])
@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float64), ("fp16", torch.float32)])
def test_a_step_that_is_not_finite_changes_nothing(monkeypatch, broken, precision, dtype):
    trainer = alone("cosine", dtype=dtype, precision=precision)
    if precision == "fp16":
        # The usual one makes first steps overflow.
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    first, second, third, *_ = parts.batches(Processes())
    trainer.step(*first)
    model, optimizer = (copy.deepcopy(x.state_dict()) for x in (trainer.model, trainer.optimizer))
    loss_sum = float(trainer.progress.loss_sum)
    with monkeypatch.context() as patched:
        patched.setattr(trainer.model.objective, "loss", broken)
        trainer.step(*second)
    assert all(
        torch.equal(tensor, model[name]) for name, tensor in trainer.model.state_dict().items()
    )
    for number, state in trainer.optimizer.state_dict()["state"].items():
        assert all(
            torch.equal(tensor, optimizer["state"][number][name]) for name, tensor in state.items()
        )
    progress = trainer.progress.state()
    assert (
        progress["step"],
        progress["loss_steps"],
        progress["skipped"],
        progress["skipped_in_a_row"],
    ) == (2, 1, 1, 1)
    assert progress["loss_sum"] == loss_sum
    trainer.step(*third)
    assert trainer.progress.state()["skipped_in_a_row"] == 0
    assert not torch.equal(
        model["towers.visual.head.proj.weight"], trainer.model.towers.visual.head.proj.weight
    )


def test_moments_of_a_step_that_is_not_finite_are_forgotten(monkeypatch):
    trainer = alone("moments of features")
    first, second, third, *_ = parts.batches(Processes())
    trainer.step(*first)
    before = copy.deepcopy(trainer.model.objective.state_dict())
    assert before["steps"] == 1
    with monkeypatch.context() as patched:
        exact = type(trainer.model.objective).of_features
        patched.setattr(
            type(trainer.model.objective), "of_features", lambda *sides: exact(*sides) / 0
        )
        trainer.step(*second)
    for name, tensor in trainer.model.objective.state_dict().items():
        assert torch.equal(tensor, before[name])
    trainer.step(*third)
    assert trainer.model.objective.steps == 2


def test_training_adds_the_cones_with_their_weight():
    processes = Processes()
    made = parts.trainer("cones of texts", processes)
    images, tokens = parts.batches(processes)[0]
    model, generator = made.model.eval(), torch.Generator()
    loss = made.loss(images, tokens, generator)
    seen, read = model.represent_images(images, None), model.represent_texts(tokens, None)
    outside_cones = model.similarity.outside_cones(seen, read)
    assert outside_cones.shape == (len(images),) and outside_cones.max() > 0
    alone = objective.create("infonce")(model.compare(seen, read))
    torch.testing.assert_close(loss, alone + 0.2 * outside_cones.mean())
