"""Runs of every variant, with random weights: what is computed from them is checked, not how good
it is.
"""

import json

import pytest
import torch
from tiny import EXPERIMENT

from kbench import objective, similarity
from kbench.datasets.dataset import get
from kbench.evaluate.features import Encoder
from kbench.evaluate.run import TrainedRun
from kbench.experiment.load import load, resolve
from kbench.locations import Locations
from kbench.pretrain.model import ContrastiveModel, save
from kbench.records.documents import ModelCard

DATASETS = ("world-shape-colour", "world-retrieval", "world-pairs")


@pytest.fixture(scope="session")
def random_runs(tmp_path_factory, tiny_world):
    """Return (evaluation, a function from a variant's name to its run with features of
    DATASETS).
    """
    folder = tmp_path_factory.mktemp("random")
    before, after = EXPERIMENT.split("variants: ")
    variants = [
        {"similarity": name, "objective": objective.suited(similarity.get(name))}
        for name in similarity.names()
    ]
    text = f"{before}variants: {json.dumps(variants)}\n{after.partition(chr(10))[2]}"
    (folder / "random.yaml").write_text(text)
    experiment = load(str(folder / "random.yaml"))
    configs = {config.similarity: config for config in resolve(experiment)}
    made = {}

    def run_of(name):
        if name not in made:
            made[name] = _run(
                folder / name, configs[name], experiment.evaluation, Locations(world=tiny_world)
            )
        return made[name]

    return experiment.evaluation, run_of


def _run(folder, config, evaluation, where):
    torch.manual_seed(5)
    checkpoint = save(ContrastiveModel(config), folder / "model.safetensors")
    run = TrainedRun(folder)
    card = ModelCard.model_construct(checkpoint_sha256=checkpoint)
    vars(run).update(config=config, card=card)
    encoder = Encoder(run, evaluation, "cpu")
    for name in DATASETS:
        encoder.extract(get(name).model_copy(update={"train_split": None}), where)
    return run
