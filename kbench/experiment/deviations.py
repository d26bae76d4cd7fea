"""Where an experiment departs from the released recipe of arXiv 2404.19228, or fills in what it does not state."""

from kbench.experiment.schema import Experiment

RELEASED_RECIPES = {"cc3m": (50, 2), "cc12m": (35, 1)}
"""Epochs and warm-up epochs of the released configurations, by corpus."""

RELEASED_TOWERS = "wpse-vit-b-16"

RELEASED_TRAINING = {
    "learning_rate": 5e-4,
    "initial_learning_rate": 1e-6,
    "final_learning_rate": 1e-5,
    "betas": (0.9, 0.98),
    "eps": 1e-8,
    "weight_decay": 0.5,
    "precision": "fp16",
}
"""The released optimiser settings, the same for both corpora."""


def deviations(experiment: Experiment) -> list[str]:
    """Return one sentence for each setting that differs from the released one or that the release does not state."""
    training, found = experiment.training, []
    if training.selection != "test-column":
        found.append(f"checkpoint selection {training.selection}: released best on a reported test column, ImageNet's")
    if experiment.tuning is None:
        found.append("tuning: the variants share one setting, which was tuned for none of them")
    else:
        found.append(
            f"tuning: {_show(tuple(experiment.tuning.grid))} chosen for each variant among {experiment.tuning.trials} "
            f"trials by {experiment.tuning.rule}; the release states no search"
        )
    recipe = RELEASED_RECIPES.get(experiment.corpus.name)
    if recipe is None:
        found.append(f"corpus {experiment.corpus.name}: the paper trains on cc3m and cc12m")
    elif (training.epochs, training.warmup_epochs) != recipe:
        found.append(
            f"epochs {training.epochs:g}, warm-up {training.warmup_epochs:g}: released {recipe[0]} and {recipe[1]}"
        )
    if experiment.towers != RELEASED_TOWERS:
        found.append(f"towers {experiment.towers}: released ViT-B/16 and a text transformer of 12 layers")
    for key, released in RELEASED_TRAINING.items():
        seen = getattr(training, key)
        if seen != released:
            found.append(f"{key} {_show(seen)}: released {_show(released)}")
    if training.crop is None or training.crop.scale != (0.5, 1.0) or training.crop.flip:
        found.append("augmentation: released random resized crop of scale 0.5 to 1, bicubic, no flip")
    found.append(f"effective batch size {training.batch_size}: the release states 512 per GPU, not the total")
    if any(variant.similarity == "wpse-imq" for variant in experiment.variants):
        found.append("wpse-imq: a1 and a2 are not published with the code; those of the Gaussian kernel are assumed")
    probe = experiment.evaluation.linear_probe
    if probe.strides != (16, 8, 4, 2, 1):
        found.append(f"linear probe: grid strides {_show(probe.strides)}; released 16, 8, 4, 2, 1")
    if not probe.released_scaling:
        found.append("linear probe: random features scaled by their own number; the released code scales 512 as 1024")
    if experiment.evaluation.random_features.estimator is None:
        found.append("evaluation draws random features by kbench's estimator of lower variance; released plain draws")
    return found


def _show(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
