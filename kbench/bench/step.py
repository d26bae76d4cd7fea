"""Time of a whole training step, towers included, with every similarity; the baseline is the cosine's.

Batches are small and random: what counts is how much of a step the similarity takes.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from kbench import progress
from kbench.bench.measure import Row, alternate, say

if TYPE_CHECKING:
    from kbench.towers.model import Towers


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the bench's arguments."""
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these; default: all")
    parser.add_argument("--device", default="cpu", help="default %(default)s")
    parser.add_argument("--towers", default="ViT-B-16", help="tower configuration; default %(default)s")
    parser.add_argument("--step-batch", type=int, default=8, help="pairs in a step; default %(default)s")
    parser.add_argument("--step-repeats", type=int, default=3, help="timed steps of each; default %(default)s")


def rows(arguments: argparse.Namespace) -> list[Row]:
    """Measure, print the table, return the rows."""
    import torch

    from kbench import similarity
    from kbench.towers import config
    from kbench.towers.model import Towers

    torch.manual_seed(0)
    towers = Towers(config.load(arguments.towers)).to(arguments.device)
    found = []
    say(f"\n{'variant':<24}{'step s':>9}{'cosine s':>9}{'ratio':>7}   {arguments.towers}, {arguments.step_batch} pairs")
    for name in progress.track(arguments.variants or similarity.names(), "steps", "variant"):
        steps = [_step(towers, variant, arguments) for variant in (name, "cosine")]
        seconds = alternate(*steps, arguments.step_repeats)
        found.append(Row.of(f"step/{name}", seconds[0], "seconds", seconds[1]))
        say(f"{name:<24}{seconds[0]:>9.3g}{seconds[1]:>9.3g}{found[-1].ratio:>7.3f}")
    return found


def _step(towers: "Towers", name: str, arguments: argparse.Namespace) -> Callable[[], None]:
    """Return a function that does forward, backward and the optimiser's update."""
    import torch

    from kbench import objective, similarity

    device, pairs, size = arguments.device, arguments.step_batch, towers.visual.image_size[0]
    pixels = torch.randn(pairs, 3, size, size, device=device)
    tokens = torch.randint(towers.text.vocab_size, (pairs, towers.context_length), device=device)
    variant = similarity.create(name, {}, towers.widths).to(device)
    criterion, generator = objective.create("infonce"), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW([*towers.parameters(), *variant.parameters()], lr=1e-6)

    def step() -> None:
        draw = variant.draw(towers.embed_dim, generator, device=device)
        images = variant.embed(towers.encode_image(pixels), "image")
        texts = variant.embed(towers.encode_text(tokens), "text")
        criterion(variant.logit_scale() * variant.scores(images, texts, draw)).backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if device != "cpu":
            torch.cuda.synchronize()

    return step
