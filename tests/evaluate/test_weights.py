"""Weights of patches and tokens, and what each adds to a logit."""

import numpy as np
import pytest
import torch

from kbench import similarity
from kbench.datasets import dataset as known_datasets
from kbench.evaluate import weights
from kbench.experiment.load import read_run
from kbench.pretrain.model import ContrastiveModel
from kbench.similarity.sets import PointSet
from kbench.towers import config as tower_config
from kbench.towers import tokenizer

WIDTHS = {"image": 8, "text": 6}


def with_weights():
    created = {name: similarity.create(name, {}, WIDTHS) for name in similarity.names()}
    return [name for name, one in created.items() if one.learns_weights]


def random_set(generator, points):
    shape = (1, points)
    return PointSet(
        torch.randn(*shape, 5, generator=generator, dtype=torch.float64),
        torch.randn(*shape, generator=generator, dtype=torch.float64),
    )


def test_some_variants_learn_weights_and_others_do_not():
    assert {"wpse-linear", "wpse-gaussian", "wpse-imq"} <= set(with_weights())
    assert not {"cosine", "filip", "hyperbolic", "wpse-gaussian-uniform"} & set(with_weights())


@pytest.mark.parametrize("name", with_weights())
def test_parts_of_either_side_add_up_to_the_logit(name):
    chosen = similarity.create(name, {}, WIDTHS).double()
    generator = torch.Generator().manual_seed(0)
    image, text = random_set(generator, 7), random_set(generator, 4)
    with torch.inference_mode():
        logit = float(chosen.logit_scale() * chosen.scores(image, text))
        of_image, of_text = weights.contributions(chosen, image, text)
    assert of_image.shape == (7,) and of_text.shape == (4,)
    assert of_image.sum() == pytest.approx(logit, rel=1e-5, abs=1e-6)
    assert of_text.sum() == pytest.approx(logit, rel=1e-5, abs=1e-6)


def test_pieces_name_every_position():
    towers = tower_config.load("demo", {"text_cfg": {"context_length": 8}})
    assert tokenizer.pieces("a red star", towers) == [
        "start",
        "a",
        "red",
        "star",
        "end",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize("variant", ["wpse-gaussian", "cosine"])
def test_file_of_a_model(tmp_path, tiny_experiment, tiny_world, variant):
    config = read_run(next(tiny_experiment[1].glob("runs/*/config.json")))
    config = config.model_copy(update={"similarity": variant, "similarity_settings": {}})
    model = ContrastiveModel(config).eval()
    dataset = known_datasets.get("world-retrieval")
    made = weights.write(tmp_path, model, config.towers, dataset, tiny_world / dataset.folder)
    assert made == (tmp_path / weights.FILE).exists() == (variant != "cosine")
    if made:
        stored = np.load(tmp_path / weights.FILE)
        assert stored["images"].shape == (4, 32, 32, 3) and stored["image_weights"].shape == (4, 17)
        assert (
            len(set(stored["captions"])) == 4
            and stored["tokens"].shape == stored["token_weights"].shape
        )
        np.testing.assert_allclose(
            stored["image_parts"].sum(-1), stored["logits"], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            stored["text_parts"].sum(-1), stored["logits"], rtol=1e-4, atol=1e-5
        )
