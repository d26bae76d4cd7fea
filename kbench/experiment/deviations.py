"""Where an experiment departs from the released recipe of arXiv 2404.19228, or fills in what it does not state."""

from collections.abc import Iterator

from kbench.corpus.kinds.webdataset import WebdatasetCorpus
from kbench.experiment.schema import Experiment

RELEASED_RECIPES = {"cc3m": (50, 2), "cc12m": (35, 1)}
"""Epochs and warm-up epochs of the released configurations, by corpus."""

RELEASED_TOWERS = "wpse-vit-b-16"

RELEASED_CLIP_PADDING = ("cosine", "padding_embeddings", "shared")
"""The released CLIP model, unlike the others, has one embedding row for all padding."""

RELEASED_DATASETS = (
    "imagenet1k",
    "cifar10",
    "cifar100",
    "stl10",
    "food101",
    "caltech101",
    "cars",
    "fgvc_aircraft",
    "flowers",
    "eurosat",
    "dtd",
    "pets",
    "sun397",
)
"""Those of the paper's tables."""

RELEASED_TRAINING = {
    "learning_rate": 5e-4,
    "initial_learning_rate": 1e-6,
    "final_learning_rate": 1e-5,
    "betas": (0.9, 0.98),
    "eps": 1e-8,
    "weight_decay": 0.5,
    "precision": "fp16",
    "clip_norm": None,
}
"""The released optimiser settings, the same for both corpora."""

RELEASED_PROBE = {"strides": (16, 8, 4, 2, 1), "random_features": 512, "max_iterations": 1000}


def deviations(experiment: Experiment) -> list[str]:
    """Return one sentence for each setting that differs from the released one or that the release does not state."""
    parts = (_corpus, _models, _training, _evaluation)
    return [sentence for part in parts for sentence in part(experiment)]


def _corpus(experiment: Experiment) -> Iterator[str]:
    training, corpus = experiment.training, experiment.corpus
    recipe = RELEASED_RECIPES.get(corpus.name)
    if recipe is None:
        yield f"corpus {corpus.name}: the paper trains on cc3m and cc12m"
    elif (training.epochs, training.warmup_epochs) != recipe:
        yield f"epochs {training.epochs:g}, warm-up {training.warmup_epochs:g}: released {recipe[0]} and {recipe[1]}"
    if isinstance(corpus, WebdatasetCorpus) and any(source.weight != 1 for source in corpus.sources):
        yield "corpus: sources are weighted; the paper trains on one corpus at a time"


def _models(experiment: Experiment) -> Iterator[str]:
    if experiment.towers != RELEASED_TOWERS:
        yield f"towers {experiment.towers}: released ViT-B/16 and a text transformer of 12 layers"
    for variant in experiment.variants:
        for key, value in variant.towers.items():
            if (variant.similarity, key, value) == RELEASED_CLIP_PADDING:
                continue
            yield f"{variant.name}: {key} {_show(value)} in its own towers; released the same towers for all"
        for key, value in variant.set.items():
            yield f"{variant.name}: {key} {_show(value)}; `kbench variants` has the default and its source"
        objective = variant.objective or experiment.objective
        if objective != "infonce":
            yield f"{variant.name}: objective {objective}; released symmetric InfoNCE"
    if any(variant.similarity == "wpse-imq" for variant in experiment.variants):
        yield "wpse-imq: a1 and a2 are not published with the code; those of the Gaussian kernel are assumed"


def _training(experiment: Experiment) -> Iterator[str]:
    training = experiment.training
    for key, released in RELEASED_TRAINING.items():
        seen = getattr(training, key)
        if seen != released:
            yield f"{key} {_show(seen)}: released {_show(released)}"
    if training.crop is None or training.crop.scale != (0.5, 1.0) or training.crop.flip:
        yield "augmentation: released random resized crop of scale 0.5 to 1, bicubic, no flip"
    yield f"effective batch size {training.batch_size}: the release states 512 per GPU, not the total"
    seeds = ", ".join(map(str, experiment.seeds))
    yield f"seeds {seeds}, from which every generator's is derived: released one run, 6174 + rank"
    if (training.selection, training.test_column) != ("test-column", "imagenet1k"):
        yield f"checkpoint selection {training.selection}: released best on a reported test column, ImageNet's"
    if experiment.tuning is None:
        yield "tuning: the variants share one setting, which was tuned for none of them"
    else:
        yield (
            f"tuning: {_show(tuple(experiment.tuning.grid))} chosen for each variant among {experiment.tuning.trials} "
            f"trials by {experiment.tuning.rule}; the release states no search"
        )


def _evaluation(experiment: Experiment) -> Iterator[str]:
    evaluation = experiment.evaluation
    missing = [name for name in RELEASED_DATASETS if name not in evaluation.datasets]
    if missing:
        yield f"datasets: {len(missing)} of the paper's {len(RELEASED_DATASETS)} are left out: {', '.join(missing)}"
    others = [name for name in evaluation.datasets if name not in RELEASED_DATASETS]
    if others:
        yield f"datasets: not in the paper's tables: {', '.join(others)}"
    features, probe = evaluation.random_features, evaluation.linear_probe
    if features.estimator is None:
        yield "evaluation draws random features by kbench's estimator of lower variance; released plain draws"
    elif features.estimator != "rff":
        yield f"evaluation draws random features by the estimator {features.estimator}; released plain draws"
    if features.number != 1024:
        yield f"evaluation: {features.number} random features; released 1024"
    if features.draws != 1:
        yield f"evaluation: mean over {features.draws} draws of random features; released one draw for each dataset"
    for key, released in RELEASED_PROBE.items():
        if getattr(probe, key) != released:
            yield f"linear probe: {key} {_show(getattr(probe, key))}; released {_show(released)}"
    if not probe.released_resize:
        yield "linear probe: one centre crop serves zero-shot and probe; the released probe resizes to 256 before it"
    if not probe.released_scaling:
        yield "linear probe: random features scaled by their own number; the released code scales 512 as 1024"


def _show(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
