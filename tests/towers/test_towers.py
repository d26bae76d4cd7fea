"""Towers yield open_clip's own tokens and pooled embeddings."""

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP

from kbench.errors import UserError
from kbench.towers import config, tokenizer
from kbench.towers.model import Towers
from kbench.world import World
from kbench.world.captions import TEMPLATES

TEXT = {"context_length": 16, "width": 32, "heads": 2, "layers": 2}
CONFIGS = {
    "timm": {
        "embed_dim": 24,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_tiny_patch16_224",
            "timm_pool": "token",
            "timm_proj": "linear",
        },
        "text_cfg": TEXT,
    },
    "open_clip": {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
        "text_cfg": TEXT,
        "quick_gelu": True,
    },
}


@pytest.mark.parametrize("name", CONFIGS)
def test_pooled_embedding_and_logits_are_open_clips(name):
    torch.manual_seed(0)
    settings = config.TowerConfig(name=name, **CONFIGS[name])
    towers = Towers(settings).eval()
    peer = CustomTextCLIP(
        settings.embed_dim,
        open_clip.CLIPVisionCfg(**settings.vision_cfg),
        open_clip.CLIPTextCfg(**settings.text_cfg),
        quick_gelu=settings.quick_gelu,
    ).eval()
    missing = peer.load_state_dict(towers.state_dict(), strict=False)
    assert missing.unexpected_keys == [] and missing.missing_keys == ["logit_scale"]
    images = torch.randn(3, 3, settings.image_size, settings.image_size)
    tokens = torch.from_numpy(tokenizer.create(settings)(["a red dog", "two cats on a sofa", ""]))
    with torch.inference_mode():
        image, text = towers.encode_image(images), towers.encode_text(tokens)
        torch.testing.assert_close(image.project(image.pooled), peer.encode_image(images), atol=1e-6, rtol=0)
        torch.testing.assert_close(text.project(text.pooled), peer.encode_text(tokens), atol=1e-6, rtol=0)
        normalise = torch.nn.functional.normalize
        ours = normalise(image.project(image.pooled), dim=-1) @ normalise(text.project(text.pooled), dim=-1).T
        torch.testing.assert_close(peer.logit_scale.exp() * ours, peer.get_logits(images, tokens)[0], atol=1e-5, rtol=0)
    assert image.tokens.shape == (
        3,
        (settings.image_size // (16 if name == "timm" else 8)) ** 2 + 1,
        towers.widths["image"],
    )
    assert text.tokens.shape == (3, 16, 32)


@pytest.mark.parametrize("name", config.names())
def test_own_configurations_build(name):
    settings = config.load(name)
    towers = Towers(settings).eval()
    with torch.inference_mode():
        output = towers.encode_image(torch.randn(2, 3, settings.image_size, settings.image_size))
        assert output.project(output.tokens).shape[-1] == settings.embed_dim
    torch.testing.assert_close(output.pooled, output.tokens[:, 0])


def test_towers_without_a_class_token_are_refused():
    settings = config.load("RN50")
    with pytest.raises(UserError, match="class token"):
        Towers(settings)


def test_unknown_towers_name_the_nearest():
    with pytest.raises(UserError, match="did you mean 'ViT-B-16'"):
        config.load("VIT-B-16")


def test_restricted_vocabulary_keeps_the_end_of_text_largest_and_knows_every_caption():
    tokenize = tokenizer.create(config.load("demo"))
    texts = [template.format(c=caption) for caption in World().captions for template in TEMPLATES]
    ids = tokenize(texts)
    lengths = (ids != 0).sum(axis=1)
    assert (ids.argmax(axis=1) == lengths - 1).all()
    assert not (ids == 1).any(), "a word of the world is missing from the vocabulary"
    assert lengths.max() == ids.shape[1], "the context is longer than any caption needs"
    full = tokenizer.create(config.load("demo").model_copy(update={"words": None}))(texts)
    assert len(np.unique(ids, axis=0)) == len(np.unique(full, axis=0))


def test_unknown_words_share_one_row():
    settings = config.load("demo")
    first, second = tokenizer.create(settings)(["zebra", "giraffe"])
    assert first[1] == second[1] == 1
    assert first.max() == tokenizer.vocabulary_size(settings) - 1
