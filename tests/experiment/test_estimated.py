"""What is estimated where nothing was measured: operations, memory, disk."""

import re

import pytest
import torch
from tiny import EXPERIMENT

from kbench.errors import UserError
from kbench.experiment import load
from kbench.plan import accelerators, cost, estimated, work
from kbench.plan.cost import CostEstimate
from kbench.pretrain.model import ContrastiveModel

SPEED = estimated.Speed(accelerators.get("h200"), 0.5)


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(EXPERIMENT)
    return load.load(str(path))


def with_towers(tiny, tmp_path, name):
    path = tmp_path / "other.yaml"
    path.write_text(EXPERIMENT.replace("towers: demo", f"towers: {name}"))
    return load.load(str(path))


@pytest.mark.whole
def test_operations_of_a_vit_are_those_that_open_clip_lists(tiny, tmp_path):
    """open_clip 3.3.0, docs/model_profile.csv: ViT-B-16 has 41.09 GFLOPs, 35.13 of them the
    image's.
    """
    experiment = with_towers(tiny, tmp_path, "ViT-B-16")
    counted = work.of(load.resolve(experiment)[0], experiment.evaluation)
    assert counted.image / 1e9 == pytest.approx(35.13, rel=0.01)
    assert (counted.image + counted.text) / 1e9 == pytest.approx(41.09, rel=0.01)
    assert counted.parameters == pytest.approx(149.62e6, rel=1e-3)


def test_what_is_kept_grows_with_the_pairs_and_is_no_parameter(tiny):
    config = load.resolve(tiny)[0]
    model = ContrastiveModel(config).train()
    size, context = config.towers.image_size, config.towers.context_length

    def kept(pairs):
        images = torch.zeros(pairs, 3, size, size, dtype=torch.uint8)
        return work._kept(model, images, torch.zeros(pairs, context, dtype=torch.long))

    assert kept(8) == pytest.approx(2 * kept(4), rel=0.1)


def test_memory_is_state_and_pairs():
    made_of = work.Work(image=1e9, text=1e9, parameters=1_000_000, kept=2_000_000, features=4096)
    assert made_of.memory(0) == 16e6 and made_of.memory(10) == 36e6
    assert made_of.training == 6e9 and made_of.disk == 28e6


def test_only_what_was_not_measured_is_estimated(tiny):
    runs = load.resolve(tiny)
    parts = cost.estimate(tiny, runs, [], 512, [])
    measured = CostEstimate("pretrain", "cosine", 1, 5.0, 7, "3 jobs", 512)
    parts = [measured if part.name == "pretrain cosine" else part for part in parts]
    made, memory = estimated.filled(parts, tiny, runs, SPEED)
    assert measured in made
    training = next(part for part in made if part.name == "pretrain wpse-gaussian")
    counted = work.of(runs[1], tiny.evaluation)
    operations = 0.5 * 989e12
    assert training.seconds == pytest.approx(counted.training * 512 / operations)
    assert training.source.startswith("estimated: ") and "h200 at 50 % of 989" in training.source
    assert memory.similarity == "wpse-gaussian" and memory.pairs == 32
    assert cost.lane_hours(made) is not None and cost.total_bytes(made) is not None
    # How long tasks take is not known from operations of the towers.
    assert next(part for part in made if part.rule == "evaluate").seconds is None


@pytest.mark.whole
@pytest.mark.parametrize(
    "batch, said", [(4096, r"about [1-9]\d* would fit, see micro_batch"), (65536, "more processes")]
)
def test_a_batch_that_does_not_fit_is_said_with_one_that_does(kbench, tmp_path, batch, said):
    path = tmp_path / "large.yaml"
    text = EXPERIMENT.replace("batch_size: 32", f"batch_size: {batch}")
    text = text.replace("pairs: 512", "pairs: 1000000").replace("towers: demo", "towers: ViT-B-16")
    path.write_text(
        text.replace("[cosine, {similarity: wpse-gaussian, set: {features: 32}}]", "[cosine]")
    )
    done = kbench("check", path, "--gpu", "v100", "--measured", tmp_path)
    assert done.returncode == 0, done.stderr
    seen = re.search(rf"memory +(\S+) of 32 GB, estimated: {batch} pairs at a time.*", done.stdout)
    assert float(seen[1]) > 32 and re.search(f"too much; {said}", seen[0])


def test_check_names_estimates(kbench, tmp_path, refused):
    path = tmp_path / "tiny.yaml"
    path.write_text(EXPERIMENT)
    done = kbench("check", path, "--gpu", "h200", "--measured", tmp_path)
    assert done.stdout.count("estimated: ") == 5  # training and features of two, and memory
    assert "GPU hours   not known" not in done.stdout
    refused(kbench("check", path, "--gpu", "h20"), "h200", "accelerator")
    refused(kbench("check", path, "--gpu", "h200", "--utilisation", "1.5"), "--utilisation 1.5")


def test_every_accelerator_has_a_source():
    for name in accelerators.names():
        assert "data sheet" in accelerators.get(name).source
    with pytest.raises(UserError, match="did you mean 'h100'"):
        accelerators.get("h10")
