"""Zero-shot and retrieval against unmodified CLIP_benchmark: every variant with explicit features,
found by itself.
"""

import numpy as np
import pytest
import torch
from peer import predictions, recalls

from kbench import similarity, tasks
from kbench.evaluate import store
from kbench.tasks import retrieval

EXPLICIT = [name for name in similarity.names() if similarity.get(name).has_features()]
"""Of these, the ones that are a cosine are compared as they are, the others through features of
constant norm.
"""

COSINES = ("cosine", "cosine-mean")


def features_of(run, dataset, sides, draw):
    reader = store.Reader(run.features(dataset))
    return reader, *(reader.representation(side, draw)["features"] for side in sides)


def check_zero_shot(run, dataset, predicted, draw=0):
    reader, images, prompts = features_of(run, dataset, ("test/images", "prompts"), draw)
    classes = torch.from_numpy(np.array(reader.array("prompt_classes")))
    constant_norm = run.config.similarity not in COSINES
    assert (predictions(images, prompts, classes, constant_norm) == predicted).all()


def check_retrieval(run, kept, draw=0):
    reader, images, captions = features_of(
        run, "world-retrieval", ("test/images", "test/captions"), draw
    )
    owners = torch.from_numpy(np.array(reader.array("test/caption_images")))
    theirs = recalls(images, captions, owners, run.config.similarity not in COSINES)
    for retrieved, queries in (("image", "text_to_image_ranks"), ("text", "image_to_text_ranks")):
        for k in (1, 5, 10):
            ours = retrieval.recall(kept[queries][draw], k)
            assert ours == pytest.approx(theirs[f"{retrieved}_retrieval_recall@{k}"], abs=1e-6)


@pytest.mark.parametrize("variant", EXPLICIT)
def test_every_variant_predicts_and_recalls_as_clip_benchmark_does(random_runs, variant):
    evaluation, run_of = random_runs
    run = run_of(variant)
    shapes = store.Reader(run.features("world-shape-colour"))
    captioned = store.Reader(run.features("world-retrieval"))
    with torch.inference_mode():
        found = (
            tasks.get("zeroshot").score(run, shapes, evaluation, device="cpu").arrays["predictions"]
        )
        kept = tasks.get("retrieval").score(run, captioned, evaluation, device="cpu").arrays
    assert len(found) == (2 if run.similarity.uses_random_features else 1)
    for draw, predicted in enumerate(found):
        check_zero_shot(run, "world-shape-colour", predicted, draw)
        assert len(set(predicted.tolist())) > 1
        check_retrieval(run, kept, draw)


@pytest.mark.parametrize("number", [0, 1])
def test_trained_runs_predict_and_recall_as_clip_benchmark_does(trained, number):
    run = trained[number]
    for dataset in ("world-shape", "world-digits"):
        check_zero_shot(
            run,
            dataset,
            np.load(run.folder / "evaluation" / dataset / "zeroshot.npz")["prediction"],
        )
    check_retrieval(run, np.load(run.folder / "evaluation" / "world-retrieval" / "retrieval.npz"))


def test_the_check_can_fail(random_runs):
    """CLIP_benchmark's own normalisation, harmless for a cosine, changes what a kernel variant
    predicts.
    """
    run = random_runs[1]("wpse-gaussian")
    reader, images, prompts = features_of(run, "world-shape-colour", ("test/images", "prompts"), 0)
    classes = torch.from_numpy(np.array(reader.array("prompt_classes")))
    proper, normalised = (
        predictions(images, prompts, classes, constant) for constant in (True, False)
    )
    assert (proper != normalised).any()
