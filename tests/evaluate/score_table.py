"""A run whose logits are a given table of scenes and captions, as tasks see one."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import torch

from kbench.evaluate import store
from kbench.evaluate.run import TrainedRun
from kbench.similarity.base import Similarity


class Table(Similarity):
    """The inner product of what is stored."""

    name = "table"

    def __init__(self):
        torch.nn.Module.__init__(self)

    def logit_scale(self):
        return torch.tensor(1.0)


def of_table(folder, world, trained, logits, compared_pairs, pairs=300):
    """Return the run and its stored features of pairs drawn from the world.

    trained: its objective; logits: (scenes, captions).
    """
    generator = np.random.default_rng(0)
    scenes = world.sample_scenes(generator, pairs)
    captions = world.sample_captions(generator, scenes)
    used, columns = np.unique(captions, return_inverse=True)
    writer = store.Writer(folder / "features")
    writer.whole("test/scenes", scenes)
    writer.whole("test/caption_indices", captions)
    writer.whole("test/images/features", logits[scenes][:, used].unsqueeze(1))
    writer.whole(
        "test/captions/features", torch.eye(len(used), dtype=torch.float64)[columns].unsqueeze(1)
    )
    writer.finish(store.MEANING)
    run = SimpleNamespace(
        similarity=Table(),
        objective=trained,
        config=SimpleNamespace(compared_pairs=compared_pairs),
    )
    run.estimated_pmi = partial(TrainedRun.estimated_pmi, run)
    return run, store.Reader(folder / "features")
