"""Whole training steps, towers included, of every similarity; the baseline is open_clip's own model
and loss.

Rows of a variant NAME: step/NAME, seconds; step/NAME/over-cosine, the same against cosine's step;
step/NAME/samples-per-second; step/NAME/memory, what a process takes at most for model, optimiser
and step; step/NAME/data-wait, the share of time spent waiting for batches from generated JPEGs,
decoded at every use; step/NAME/flop, of one step; step/NAME/mfu, model FLOP utilisation, null where
the device's peak is not known.

Both sides have the same towers, batches, precision and fused AdamW; kbench's step is the one that
training takes.

Examples:
  kbench bench step --towers ViT-B-16 --step-batch 8
  kbench bench step --device cuda --precision bf16 --step-batch 512 --loader-workers 12 \\
    --images 6144
"""

import argparse
import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from kbench import progress
from kbench.bench.measure import Row, in_fresh_process, in_turns, say
from kbench.memory import peak_bytes, resident_bytes

if TYPE_CHECKING:
    import torch
    from torch.utils.data import DataLoader

    from kbench.experiment.schema import RunConfig, Training
    from kbench.towers.config import TowerConfig

OPEN_CLIP = "open_clip"
SIDE = 640
WARM_UP = 2
"""Steps before waiting is measured, in which loaders start and fill their queues."""

Step = Callable[["torch.Tensor", "torch.Tensor"], object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    configure_times(parser)
    parser.add_argument(
        "--loader-workers", type=int, default=1, help="loader processes; default %(default)s"
    )
    parser.add_argument(
        "--images", type=int, default=64, help="generated JPEGs; default %(default)s"
    )
    parser.add_argument(
        "--data-steps", type=int, default=4, help="steps with the loader; default %(default)s"
    )


def configure_times(parser: argparse.ArgumentParser, of: str = "variants") -> None:
    """Add the arguments of the times alone; of: what is measured one by one."""
    parser.add_argument(f"--{of}", nargs="+", metavar="NAME", help="only these; default: all")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), default="fp32", help="default %(default)s"
    )
    parser.add_argument(
        "--towers", default="ViT-B-16", help="tower configuration; default %(default)s"
    )
    parser.add_argument(
        "--step-batch", type=int, default=8, help="pairs in a step; default %(default)s"
    )
    parser.add_argument(
        "--step-repeats", type=int, default=3, help="timed steps of each; default %(default)s"
    )


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    import torch

    from kbench import provenance
    from kbench.bench.peak import peak

    measured = []
    operations = peak(provenance.device_name(arguments.device), arguments.precision)
    with (
        tempfile.TemporaryDirectory(prefix="kbench-step-") as folder,
        _loaders(Path(folder), arguments) as batches,
    ):
        for name in _names(arguments):
            times = times_of(name, arguments)
            cases = [StepCase.of(contender, arguments) for contender in (name, OPEN_CLIP)]
            memory = [in_fresh_process(_peak_memory, case) for case in cases]
            flop = [_flop(case) for case in cases]
            waits = [_waiting(case, batches(), arguments.data_steps) for case in cases]
            seconds = (times[0].value, times[0].baseline)
            speed = [arguments.step_batch / s for s in seconds]
            mfu = [
                f / s / operations if operations else None
                for f, s in zip(flop, seconds, strict=True)
            ]
            measured += [
                *times,
                Row.of(f"step/{name}/samples-per-second", speed[0], "1/s", speed[1]),
                Row.of(f"step/{name}/memory", memory[0], "bytes", memory[1]),
                Row.of(f"step/{name}/data-wait", waits[0], "fraction", waits[1]),
                Row.of(f"step/{name}/flop", flop[0], "operations", flop[1]),
                Row.of(f"step/{name}/mfu", mfu[0], "fraction", mfu[1]),
            ]
            say(
                f"{'':<24}memory {memory[0] / 1e9:.2f} GB (open_clip {memory[1] / 1e9:.2f}), waits"
                f" for data {waits[0]:.1%}, {flop[0] / 1e12:.3g} TFLOP a step"
                + (
                    f", {mfu[0]:.1%} of the device's peak (open_clip {mfu[1]:.1%})"
                    if operations
                    else ""
                )
            )
            if arguments.device != "cpu":
                torch.cuda.empty_cache()
    return measured


def time_rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure the times alone."""
    return [row for name in _names(arguments) for row in times_of(name, arguments)]


def times_of(name: str, arguments: argparse.Namespace) -> list[Row]:
    """Measure a variant's step, open_clip's and cosine's in turns."""
    contenders = [name, OPEN_CLIP] + (["cosine"] if name != "cosine" else [])
    cases = [StepCase.of(contender, arguments) for contender in contenders]
    seconds = in_turns([case.repeat() for case in cases], arguments.step_repeats)
    measured = [Row.of(f"step/{name}", seconds[0], "seconds", seconds[1])]
    ratio = f"ratio {measured[0].ratio:.3f}"
    say(f"{name:<24}{seconds[0]:>9.3g} s  open_clip {seconds[1]:.3g} s  {ratio}")
    if name != "cosine":
        measured.append(Row.of(f"step/{name}/over-cosine", seconds[0], "seconds", seconds[2]))
        say(f"{'':<24}{'':>9}    cosine {seconds[2]:.3g} s  ratio {measured[1].ratio:.3f}")
    return measured


def _names(arguments: argparse.Namespace) -> Iterator[str]:
    from kbench import similarity

    return progress.track(arguments.variants or similarity.names(), "steps", "variant")


@dataclass(frozen=True)
class StepCase:
    """What takes a step, and on what; only names and numbers, so that a new process can be handed
    it.
    """

    contender: str
    towers: str
    device: str
    precision: str
    batch: int
    objective: str = "infonce"  # kbench's alone

    @classmethod
    def of(cls, contender: str, arguments: argparse.Namespace) -> "StepCase":
        """Return the case of a variant or of open_clip."""
        from kbench import objective, similarity

        used = objective.USUAL
        if contender != OPEN_CLIP:
            used = objective.suited(similarity.get(contender))
        towers, device = arguments.towers, arguments.device
        return cls(contender, towers, device, arguments.precision, arguments.step_batch, used)

    def step(self) -> Step:
        """Return a function that takes a whole step on images (B, 3, S, S) uint8 and token ids (B,
        T).
        """
        return _open_clip_step(self) if self.contender == OPEN_CLIP else _kbench_step(self)

    def repeat(self) -> Callable[[], None]:
        """Return a function that takes a step on one random batch and waits for the device."""
        step, batch = self.step(), self.random_batch()
        return lambda: _wait(self.device, step(*batch))

    def random_batch(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return random images, and token ids of captions."""
        import torch

        from kbench.towers import tokenizer

        config, generator = self.tower_config(), torch.Generator().manual_seed(0)
        pixels = (self.batch, 3, config.image_size, config.image_size)
        captions = [f"a photo of {number} things" for number in range(self.batch)]
        return (
            torch.randint(256, pixels, generator=generator, dtype=torch.uint8),
            torch.from_numpy(tokenizer.create(config)(captions)),
        )

    def tower_config(self) -> "TowerConfig":
        """Return the towers' configuration."""
        from kbench.towers import config

        return config.load(self.towers)

    def training(self) -> "Training":
        """Return the training section, the same for both sides."""
        from kbench.experiment.schema import Training

        return Training(
            batch_size=self.batch, epochs=100, warmup_epochs=10, precision=self.precision
        )


def _wait(device: str, _: object) -> None:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()


def _kbench_step(case: StepCase) -> Step:
    from kbench.corpus.manifest import Manifest
    from kbench.pretrain.processes import Processes
    from kbench.pretrain.trainer import Trainer

    pairs = Manifest(corpus="bench", pairs=100 * case.batch, shards=[])
    return Trainer(_run_config(case), pairs, case.device, Processes()).step


def _run_config(case: StepCase) -> "RunConfig":
    from kbench import similarity
    from kbench.corpus.kinds.world import WorldCorpus
    from kbench.experiment.schema import RunConfig

    return RunConfig(
        variant=case.contender,
        similarity=case.contender,
        similarity_settings=similarity.create(case.contender).settings.model_dump(mode="json"),
        objective=case.objective,
        seed=0,
        corpus=WorldCorpus(kind="world", name="bench"),
        towers=case.tower_config(),
        training=case.training(),
    )


def _open_clip_step(case: StepCase) -> Step:
    """Return open_clip's model and loss as its train_one_epoch uses them."""
    import torch

    import kbench.towers.model  # isort: skip  # kbench's trunks, and torchvision beside torch for CPUs
    import kbench.towers.compat  # isort: skip  # noqa: F401
    import open_clip

    from kbench.pretrain import optimizer
    from kbench.pretrain.trainer import AUTOCAST
    from kbench.towers.config import IMAGENET_MEAN, IMAGENET_STD
    from kbench.towers.tokenizer import embedding_settings

    config = case.tower_config()
    model = open_clip.CustomTextCLIP(
        embed_dim=config.embed_dim,
        vision_cfg=open_clip.CLIPVisionCfg(**config.vision_cfg),
        text_cfg=open_clip.CLIPTextCfg(**config.text_cfg | embedding_settings(config)),
        quick_gelu=config.quick_gelu,
    ).to(case.device)
    loss, optimiser = open_clip.ClipLoss(), optimizer.create(model, case.training())
    for group in optimiser.param_groups:
        group["lr"] = 1e-6
    mean, std = (
        torch.tensor(x, device=case.device).view(3, 1, 1) * 255
        for x in (IMAGENET_MEAN, IMAGENET_STD)
    )
    dtype = AUTOCAST[case.precision]

    def step(images: torch.Tensor, tokens: torch.Tensor) -> None:
        images, tokens = (x.to(case.device, non_blocking=True) for x in (images, tokens))
        optimiser.zero_grad()
        with torch.autocast(case.device, dtype, enabled=dtype != torch.float32):
            image_features, text_features, scale = model((images.float() - mean) / std, tokens)[:3]
            total = loss(image_features, text_features, scale)
        total.backward()
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, 4.6052)

    return step


def _peak_memory(case: StepCase) -> int:
    """Return the bytes that model, optimiser and steps take at most."""
    import torch

    from kbench.towers.model import Towers  # noqa: F401  # libraries take memory too

    batch, before = case.random_batch(), resident_bytes()
    step = case.step()
    for _ in range(2):
        step(*batch)
    _wait(case.device, None)
    return torch.cuda.max_memory_allocated() if case.device != "cpu" else peak_bytes() - before


def _flop(case: StepCase) -> int:
    """Return the operations of one step, as torch counts them: products of matrices, convolutions
    and attention.
    """
    from torch.utils.flop_counter import FlopCounterMode

    step, batch = case.step(), case.random_batch()
    with FlopCounterMode(display=False) as counter:
        step(*batch)
    return counter.get_total_flops()


def _waiting(case: StepCase, loader: "DataLoader", steps: int) -> float:
    """Return the share of time that a run of steps spends waiting for batches."""
    step, batches, waited = case.step(), iter(loader), 0.0
    for images, tokens in itertools.islice(batches, WARM_UP):
        _wait(case.device, step(images, tokens))
    begun = time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        images, tokens = next(batches)
        waited += time.perf_counter() - asked
        _wait(case.device, step(images, tokens))
    return waited / (time.perf_counter() - begun)


@contextlib.contextmanager
def _loaders(folder: Path, arguments: argparse.Namespace) -> "Iterator[Callable[[], DataLoader]]":
    """Write shards of generated JPEGs and yield a function that makes a new loader over them."""
    from kbench.bench.loader import write_shards
    from kbench.corpus import stream
    from kbench.corpus.augmentation import Crop
    from kbench.corpus.crop import Cropper
    from kbench.corpus.kinds.webdataset import WebdatasetCorpus
    from kbench.corpus.manifest import verify
    from kbench.locations import Locations
    from kbench.towers import config, tokenizer

    workers, towers = arguments.loader_workers, config.load(arguments.towers)
    shards = max(workers, 1)
    write_shards(folder, SIDE, arguments.images, shards)
    corpus = WebdatasetCorpus(kind="webdataset", name="bench", sources=[f"{{0..{shards - 1}}}.tar"])
    where, tokenize = Locations(data=folder), tokenizer.create(towers)
    manifest, cropper = verify(corpus, where), Cropper(towers.image_size, Crop(scale=(0.5, 1.0)))

    def load() -> "DataLoader":
        pairs = stream.PairStream(
            corpus, where, manifest, tokenize, cropper, stream.Share(arguments.step_batch, seed=0)
        )
        return stream.load(pairs, workers)

    # Images are decoded at every use, as those of a corpus that does not fit into memory are.
    with mock.patch.object(stream, "CACHE_BYTES", 0):
        yield load
