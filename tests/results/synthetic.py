"""An experiment's result documents with made-up numbers from a seeded generator."""

import json
import re
from pathlib import Path

import numpy as np

from kbench import tasks
from kbench.datasets import dataset as known_datasets
from kbench.files import canonical_hash
from kbench.records.documents import ExperimentRecord, Metric, ModelCard, Provenance, TaskResult

CLASSIFICATION = ("world-shape", "world-colour", "world-size")
DATASETS = (*CLASSIFICATION, "world-retrieval", "world-pairs")
RECALLS = [f"{side}_retrieval_recall@{k}" for side in ("image", "text") for k in (1, 5, 10)]


def write_experiment(
    folder: Path,
    variants: dict[str, float],
    seeds: tuple[int, ...] = (0, 1),
    datasets: tuple[str, ...] = DATASETS,
    n_test: int = 200,
    seed_sd: float = 0.2,
    draws: int = 3,
    generator_seed: int = 0,
) -> Path:
    """Write results/NAME for variants with given ability (logit of accuracy) and return its
    folder.
    """
    generator = np.random.default_rng(generator_seed)
    runs = {run_name(variant, seed): (variant, seed) for variant in variants for seed in seeds}
    record = ExperimentRecord(
        name=folder.name,
        description="A made-up experiment.",
        deviations=["The numbers are made up.", "Widths & depths of 5 % are not released_code."],
        runs=list(runs),
        variants=list(variants),
        seeds=list(seeds),
        datasets=list(datasets),
        experiment={"name": folder.name},
    )
    write(folder / "experiment.json", record.model_dump(mode="json"))
    difficulty = {dataset: generator.normal(size=n_test) for dataset in datasets}
    for run, (variant, seed) in runs.items():
        ability = variants[variant] + seed_sd * generator.normal()
        write_run(folder, run, variant, seed, ability, generator)
        for dataset in datasets:
            for task in tasks.of(known_datasets.get(dataset), None):
                setting = (folder, run, variant, seed, dataset, task)
                write_task(*setting, ability, difficulty[dataset], draws, generator)
    return folder


def run_name(variant: str, seed: int) -> str:
    """Return a run's identity."""
    return f"{variant}-s{seed}-{canonical_hash([variant, seed])}"


def write(path: Path, document: dict) -> None:
    """Write a JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def change(path: Path, **values) -> None:
    """Replace top-level keys of a JSON document, or those of its provenance."""
    document = json.loads(path.read_text())
    for key, value in values.items():
        target = document["provenance"] if key in document.get("provenance", {}) else document
        target[key] = value
    path.write_text(json.dumps(document))


def write_run(folder, run, variant, seed, ability, generator) -> None:
    """Write model.json, config.json and metrics.jsonl; a variant's label may end with its
    dimension, '-d8'.
    """
    steps = np.arange(1, 31) * 50
    losses = (
        3.0 + 2.0 * np.exp(-steps / 400) - 0.1 * ability + 0.02 * generator.normal(size=len(steps))
    )
    entries = [
        {"step": int(step), "loss": float(loss), "learning_rate": 1e-3, "logit_scale": 14.3}
        for step, loss in zip(steps, losses, strict=True)
    ]
    path = folder / "runs" / run
    path.mkdir(parents=True)
    (path / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    label = re.fullmatch(r"(?P<similarity>.+?)(-d(?P<dimension>\d+))?", variant)
    towers = {"name": "demo", "embed_dim": int(label["dimension"] or 64)}
    config = {"variant": variant, "similarity": label["similarity"], "seed": seed, "towers": towers}
    write(path / "config.json", config)
    card = ModelCard(
        run=run,
        variant=variant,
        objective="infonce",
        seed=seed,
        config_hash=run[-12:],
        checkpoint_sha256=canonical_hash(run, 64),
        code_version="0.1.0+made.up",
        torch_version="2.13.0+cpu",
        image_digest=None,
        device="cpu",
        machine="made-up processor, 2 cores",
        parameters=int(200_000 + 100 * len(variant)),
        steps=1500,
        samples=192_000,
        seconds=float(60 + 10 * generator.random()),
        samples_per_second=float(3000 + 100 * generator.random()),
        data_wait_fraction=0.03,
        peak_memory_bytes=int(8e8),
        final_loss=float(losses[-1]),
        logit_scale=20.0,
    )
    write(path / "model.json", card.model_dump(mode="json"))


def write_task(
    folder, run, variant, seed, dataset, task, ability, difficulty, draws, generator
) -> None:
    """Write TASK.json and, where single images have a score, TASK.npz."""
    path = folder / "runs" / run / "evaluation" / dataset
    path.mkdir(parents=True, exist_ok=True)
    if task in ("zeroshot", "linear_probe"):
        metrics, arrays = classification(
            ability, difficulty, draws if task == "zeroshot" else 0, generator
        )
        np.savez(path / f"{task}.npz", **arrays)
    elif task == "retrieval":
        metrics, arrays = retrieval(ability, difficulty, draws, generator)
        np.savez(path / f"{task}.npz", **arrays)
    else:
        pmi = generator.normal(2, 1, size=len(difficulty))
        values = np.sort(generator.gamma(0.5, size=(2, 64)))[:, ::-1]
        spectra = {"singular_values": values[0], "pmi_singular_values": values[1]}
        excess = 0.5 / (1 + np.exp(ability)) + 0.01 * generator.normal()
        losses = excess + 0.1 * difficulty + 0.1 * generator.normal(size=(draws, len(difficulty)))
        losses += excess - losses.mean()
        spectra["excess_losses"] = losses
        np.savez(
            path / f"{task}.npz",
            pmi=pmi,
            logits=pmi + 7 + generator.normal(size=len(pmi)) / 4,
            **spectra,
        )
        metrics = [
            Metric(
                name="excess_loss", value=excess, unit="nats", higher_is_better=False, main=True
            ),
            Metric(name="pearson", value=0.9 + 0.01 * generator.normal(), unit="correlation"),
            Metric(name="spearman", value=0.8, unit="correlation"),
        ]
    result = TaskResult(
        experiment=folder.name,
        run=run,
        variant=variant,
        objective="infonce",
        seed=seed,
        corpus="world",
        backbone="demo",
        epochs=9.6,
        selection="last",
        dataset=dataset,
        task=task,
        split="test",
        n_test=len(difficulty),
        metrics=metrics,
        settings={"prompts": "made up"},
        provenance=Provenance(
            code_version="0.1.0+made.up",
            config_hash=run[-12:],
            checkpoint_sha256=canonical_hash(run, 64),
            dataset_sha256=canonical_hash(dataset, 64),
            image_digest=None,
            torch_version="2.13.0+cpu",
            device="cpu",
            machine="made-up processor, 2 cores",
        ),
    )
    write(path / f"{task}.json", result.model_dump(mode="json"))


def classification(ability, difficulty, draws, generator) -> tuple[list[Metric], dict]:
    """Return metrics and arrays of a classifier that is right with probability sigmoid(ability -
    difficulty).
    """
    target = np.arange(len(difficulty)) % 4
    rounds = max(draws, 1)
    noise = generator.logistic(size=len(difficulty))
    noise = noise + 0.1 * generator.normal(size=(rounds, len(difficulty)))
    right = noise < ability - difficulty
    predictions = np.where(right, target, (target + 1) % 4)
    per_draw = right.mean(axis=1)
    by_class = [right[:, target == c].mean(axis=1) for c in range(4)]
    metrics = [
        metric("acc1", per_draw, draws, main=True),
        metric("mean_per_class_recall", np.mean(by_class, axis=0), draws),
    ]
    arrays = {"target": target, "prediction": predictions[0]}
    return metrics, arrays | ({"predictions": predictions} if draws else {})


def retrieval(ability, difficulty, draws, generator) -> tuple[list[Metric], dict]:
    """Return metrics and arrays of a retrieval in which every third image has a second caption."""
    images = np.arange(len(difficulty))
    owners = np.sort(np.concatenate([images, images[::3]]))

    def ranks(hardness):
        noise = generator.logistic(size=len(hardness)) + 0.1 * generator.normal(
            size=(draws, len(hardness))
        )
        return np.maximum(0, np.exp(1.5 + hardness - ability + noise) - 1).astype(int)

    of_captions, of_images = ranks(difficulty), ranks(difficulty[owners])
    metrics = [
        metric(
            name,
            (
                (of_images if name.startswith("image") else of_captions) < int(name.split("@")[1])
            ).mean(1),
            draws,
        )
        for name in RECALLS
    ]
    metrics = [
        entry.model_copy(update={"main": entry.name == "image_retrieval_recall@5"})
        for entry in metrics
    ]
    return metrics, {
        "image_to_text_ranks": of_captions,
        "text_to_image_ranks": of_images,
        "caption_images": owners,
    }


def metric(name, per_draw, draws, main=False) -> Metric:
    """Return a metric with its draws."""
    return Metric(
        name=name,
        value=float(np.mean(per_draw)),
        draw_sd=float(np.std(per_draw, ddof=1)) if draws > 1 else None,
        draws=[float(value) for value in per_draw] if draws else [],
        main=main,
    )


def write_weights(path: Path, patches: int = 16, tokens: int = 6, examples: int = 3) -> None:
    """Write a run's weights.npz: parts of either side add up to the same logits."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(examples, 2))

    def parts(points: int) -> np.ndarray:
        drawn = generator.normal(size=(examples, 2, points))
        return drawn + (logits - drawn.sum(axis=-1))[..., None] / points

    np.savez(
        path,
        dataset=np.array("world-retrieval"),
        images=generator.integers(0, 255, (examples, 32, 32, 3), dtype=np.uint8),
        captions=np.array([f"caption {index} <of> an image" for index in range(examples)]),
        tokens=np.array(
            [["start", "a", f"word{index}", "end", "", ""] for index in range(examples)]
        ),
        image_weights=generator.normal(size=(examples, 1 + patches)),
        token_weights=generator.normal(size=(examples, tokens)),
        image_parts=parts(1 + patches),
        text_parts=parts(tokens),
        logits=logits,
    )
