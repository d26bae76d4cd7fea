"""Images a second through a model's image tower, and whether predictions move with the batch size.

Rows: features/TOWERS/batch-N, images a second of what `kbench features` computes, from uint8 images
in memory to point sets; the baseline is open_clip's encode_image with the same weights.
features/TOWERS/batch-N/same, the share of images whose nearest of a thousand random texts is that
of the smallest batch.
"""

import argparse
from typing import TYPE_CHECKING

from kbench.bench.measure import Row, alternate, say

if TYPE_CHECKING:
    import numpy as np
    import torch

    from kbench.pretrain.model import ContrastiveModel

TEXTS = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--towers", default="ViT-B-16", help="default %(default)s")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument("--images", type=int, default=64, help="default %(default)s")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[16, 64], help="sizes; default 16 64"
    )
    parser.add_argument("--repeats", type=int, default=2, help="timed passes; default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    import numpy as np
    import torch

    from kbench.bench.step import StepCase, _run_config
    from kbench.pretrain.model import ContrastiveModel

    case = StepCase("cosine", arguments.towers, arguments.device, "fp32", 2)
    torch.manual_seed(0)
    model = ContrastiveModel(_run_config(case)).to(arguments.device).eval()
    size = case.tower_config().image_size
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(arguments.images, size, size, 3), dtype=np.uint8)
    texts = torch.randn(TEXTS, model.towers.embed_dim, generator=torch.Generator().manual_seed(0))
    measured, first = [], None
    for batch in sorted(arguments.batches):
        seen = _ours(model, images, batch)
        seconds = alternate(
            lambda batch=batch: _ours(model, images, batch),
            lambda batch=batch: _open_clips(model, images, batch),
            arguments.repeats,
        )
        nearest = (seen @ texts.T).argmax(dim=1)
        first = nearest if first is None else first
        name = f"features/{arguments.towers}/batch-{batch}"
        speed = [len(images) / one for one in seconds]
        share = float((nearest == first).double().mean())
        row = Row.of(name, speed[0], "images per second", speed[1])
        measured += [row, Row.of(f"{name}/same", share, "fraction", None)]
        say(f"{name:<32}{speed[0]:>9.1f}/s  open_clip {speed[1]:.1f}  same predictions {share:.2%}")
    return measured


def _ours(model: "ContrastiveModel", images: "np.ndarray", batch: int) -> "torch.Tensor":
    """Return the pooled points of images, on the CPU."""
    import torch

    with torch.inference_mode():
        parts = [
            model.embed_images(images[start : start + batch]).mean().cpu()
            for start in range(0, len(images), batch)
        ]
    return torch.cat(parts)


def _open_clips(model: "ContrastiveModel", images: "np.ndarray", batch: int) -> "torch.Tensor":
    """Return what open_clip's tower makes of images, normalised by hand, on the CPU."""
    import torch

    device, parts = model.mean.device, []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            some = torch.from_numpy(images[start : start + batch]).to(device).permute(0, 3, 1, 2)
            pooled = model.towers.visual((some.float() - model.mean) / model.std)
            parts.append((pooled[0] if isinstance(pooled, tuple) else pooled).cpu())
    return torch.cat(parts)
