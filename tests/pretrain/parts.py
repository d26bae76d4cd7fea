"""Ten steps of training in float64 on given batches, by one process or by several, and what they
leave.

Run as a program under torchrun's or srun's variables, each process trains on its part and the first
one writes.
"""

import sys
from pathlib import Path

import torch

import kbench.towers.compat  # noqa: F401  # torchvision imports beside the CPU build of torch
from kbench import similarity
from kbench.corpus.kinds.world import WorldCorpus
from kbench.corpus.manifest import Manifest
from kbench.experiment.schema import RunConfig, Training
from kbench.pretrain.processes import Processes
from kbench.pretrain.session import session
from kbench.pretrain.trainer import Trainer
from kbench.towers import config as towers

STEPS, BATCH, FEATURES = 10, 8, 32
DEMO = towers.load("demo")
PLAIN = DEMO.model_copy(
    update={
        "name": "plain",
        "vision_cfg": {
            "image_size": 32,
            "patch_size": 8,
            "width": 32,
            "layers": 2,
            "head_width": 16,
        },
    }
)
# (similarity, objective, towers, settings of training); the towers of the demo have batch norms,
# the plain ones none.
CASES = {
    "cosine": ("cosine", "infonce", DEMO, {}),
    "wpse-gaussian": ("wpse-gaussian", "infonce", DEMO, {"clip_norm": 0.5}),
    "filip, without features": ("filip", "infonce", PLAIN, {}),
    "logarithm of features": ("log-linear", "infonce", DEMO, {}),
    "micro-batches, logarithm": ("kme-gaussian", "infonce", PLAIN, {"micro_batch_size": 2}),
    "moments of features": ("cosine", "minc", DEMO, {}),
    "within modalities": ("cosine", "dhel", DEMO, {}),
    "a scale without a part": ("cosine", "kcl", DEMO, {}),
    "networks of the objective": ("cosine", "amorlip", DEMO, {}),
    "a plan of the batch": ("cosine", "sinkhorn", DEMO, {}),
    "random features of both sides": ("wpse-gaussian", "cyclip", DEMO, {}),
    "micro-batches, moments": ("wpse-linear", "minc", PLAIN, {"micro_batch_size": 2}),
    "cones of texts": ("hyperbolic", "entailment", DEMO, {}),
    "micro-batches, cones": ("hyperbolic", "entailment", PLAIN, {"micro_batch_size": 3}),
    "hyperbolic, sigmoid": ("hyperbolic", "sigmoid", DEMO, {}),
    "variances": ("prolip", "sigmoid", DEMO, {}),
    "micro-batches, attention": ("flair", "infonce", PLAIN, {"micro_batch_size": 2}),
    "likelihoods": ("captioner", "likelihood", DEMO, {}),
    "micro-batches, likelihoods": ("captioner", "likelihood", PLAIN, {"micro_batch_size": 3}),
    "micro-batches": ("wpse-gaussian", "sigmoid", PLAIN, {"micro_batch_size": 3}),
    "micro-batches, without features": ("filip", "infonce", PLAIN, {"micro_batch_size": 2}),
}


def trainer(
    case: str, processes: Processes, dtype: torch.dtype = torch.float64, **changes: object
) -> Trainer:
    """Return a trainer, from the same initial weights whatever the processes; changes: to the
    training section.
    """
    name, objective, tower, settings = CASES[case]
    chosen = (
        {"features": FEATURES} if "features" in similarity.get(name).Settings.model_fields else {}
    )
    recipe = {
        "batch_size": BATCH,
        "epochs": 1,
        "warmup_epochs": 0.2,
        "learning_rate": 1e-3,
        **settings,
        **changes,
    }
    config = RunConfig(
        variant=name,
        similarity=name,
        similarity_settings=similarity.create(name, chosen).settings.model_dump(),
        objective=objective,
        seed=0,
        corpus=WorldCorpus(kind="world"),
        towers=tower,
        training=Training(**recipe),
    )
    torch.set_default_dtype(dtype)
    try:
        return Trainer(
            config, Manifest(corpus="world", pairs=BATCH * STEPS, shards=[]), "cpu", processes
        )
    finally:
        torch.set_default_dtype(torch.float32)


def batches(processes: Processes) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return this process's part of every batch."""
    generator = torch.Generator().manual_seed(1)
    part = slice(processes.rank, None, processes.size)
    return [
        (
            torch.randint(256, (BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)[part],
            torch.randint(1, 40, (BATCH, 15), generator=generator)[part],
        )
        for _ in range(STEPS)
    ]


def train(trained: Trainer) -> dict[str, torch.Tensor]:
    """Take the steps; returns every loss, the first step's gradients, and the weights and buffers
    at the end.
    """
    found, losses = {}, []
    for images, tokens in batches(trained.processes):
        losses.append(trained.step(images, tokens)["loss"])
        for name, parameter in trained.model.named_parameters():
            found.setdefault(f"gradient of {name}", parameter.grad.clone())
    return {"losses": torch.stack(losses), **found, **trained.model.state_dict()}


if __name__ == "__main__":
    with session("cpu") as processes:
        assert processes.size == 2
        found = {case: train(trainer(case, processes)) for case in CASES}
        if processes.writes:
            torch.save(found, Path(sys.argv[1]))
