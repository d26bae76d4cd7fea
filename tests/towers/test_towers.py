"""Towers yield open_clip's own tokens and pooled embeddings."""

import subprocess
import sys

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
PLAIN = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}


def timm(name, pool="token", proj="linear", size=224):
    return {"image_size": size, "timm_model_name": name, "timm_pool": pool, "timm_proj": proj}


FAMILIES = {
    "timm": (timm("vit_tiny_patch16_224"), TEXT, {}, 197),
    "timm-average": (timm("vit_tiny_patch16_224", "avg"), TEXT, {}, 197),
    "timm-mlp": (timm("vit_tiny_patch16_224", proj="mlp"), TEXT, {}, 197),
    "timm-own-classifier": (timm("eva02_tiny_patch14_224", "avg", None), TEXT, {}, 257),
    "convnext": (timm("convnext_atto", "avg", size=64), TEXT, {}, 4),
    "swin": (timm("swin_tiny_patch4_window7_224", "avg"), TEXT, {}, 49),
    "open_clip": (PLAIN, TEXT, {"quick_gelu": True}, 17),
    "open_clip-average": ({**PLAIN, "pool_type": "avg", "final_ln_after_pool": True}, TEXT, {}, 17),
    "open_clip-attention": (
        {**PLAIN, "attentional_pool": True, "attn_pooler_queries": 5},
        TEXT,
        {},
        5,
    ),
    "resnet": ({"image_size": 64, "width": 8, "layers": [1, 1, 1, 1]}, TEXT, {}, 5),
    "bidirectional-text": (
        PLAIN,
        {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
        {},
        17,
    ),
    "counted-padding": (timm("vit_tiny_patch16_224"), TEXT, {"padding_embeddings": "counted"}, 197),
}
"""(image tower, text tower, further keys, number of image tokens)"""


def settings_of(family):
    vision, text, further, _ = FAMILIES[family]
    return config.TowerConfig(
        name=family, embed_dim=24, vision_cfg=vision, text_cfg=text, **further
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_pooled_embedding_and_logits_are_open_clips(family):
    assert_like_open_clip(settings_of(family), FAMILIES[family][3])


@pytest.mark.whole
def test_the_papers_towers_are_open_clips():
    assert_like_open_clip(config.load("wpse-vit-b-16"), 197)


def assert_like_open_clip(settings, image_tokens):
    torch.manual_seed(0)
    towers = Towers(settings).eval()
    peer = CustomTextCLIP(
        settings.embed_dim,
        open_clip.CLIPVisionCfg(**settings.vision_cfg),
        open_clip.CLIPTextCfg(**{**settings.text_cfg, **tokenizer.embedding_settings(settings)}),
        quick_gelu=settings.quick_gelu,
    ).eval()
    if settings.layer_norm_eps is not None:
        for module in peer.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = settings.layer_norm_eps
    missing = peer.load_state_dict(towers.state_dict(), strict=False)
    assert missing.unexpected_keys == [] and missing.missing_keys == ["logit_scale"]
    images = torch.randn(3, 3, settings.image_size, settings.image_size)
    tokens = torch.from_numpy(tokenizer.create(settings)(["a red dog", "two cats on a sofa", ""]))
    with torch.inference_mode():
        image, text = towers.encode_image(images), towers.encode_text(tokens)
        torch.testing.assert_close(
            image.project(image.pooled), peer.encode_image(images), atol=1e-6, rtol=1e-5
        )
        torch.testing.assert_close(
            text.project(text.pooled), peer.encode_text(tokens), atol=1e-6, rtol=1e-5
        )
        normalise = torch.nn.functional.normalize
        ours = (
            normalise(image.project(image.pooled), dim=-1)
            @ normalise(text.project(text.pooled), dim=-1).T
        )
        torch.testing.assert_close(
            peer.logit_scale.exp() * ours, peer.get_logits(images, tokens)[0], atol=1e-5, rtol=0
        )
        assert image.project(image.tokens).shape == (3, image_tokens, settings.embed_dim)
    assert image.tokens.shape == (3, image_tokens, towers.widths["image"])
    assert text.tokens.shape == (3, settings.context_length, towers.widths["text"])


@pytest.mark.parametrize("family", ["timm", "open_clip", "resnet"])
def test_the_pooled_token_is_among_the_tokens(family):
    settings = settings_of(family)
    towers, side = Towers(settings).eval(), settings.image_size
    with torch.inference_mode():
        output = towers.encode_image(torch.randn(2, 3, side, side))
    torch.testing.assert_close(output.pooled, output.tokens[:, 0])


@pytest.mark.parametrize("family", ["timm-average", "convnext", "swin"])
def test_tokens_come_after_the_final_norm(family):
    """A trunk that averages and then normalises has normalised tokens all the same."""
    towers = Towers(settings_of(family)).eval()
    with torch.inference_mode():
        tokens = towers.encode_image(torch.randn(2, 3, *towers.visual.image_size)).tokens
    torch.testing.assert_close(tokens.mean(-1), torch.zeros(tokens.shape[:2]), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        tokens.var(-1, unbiased=False), torch.ones(tokens.shape[:2]), atol=2e-2, rtol=0
    )


@pytest.mark.whole
def test_the_papers_configuration():
    """The facts of the released code that a configuration can get wrong."""
    settings = config.load("wpse-vit-b-16")
    torch.manual_seed(0)
    towers = Towers(settings)
    shared = Towers(config.load("wpse-vit-b-16", {"padding_embeddings": "shared"}))
    logit_scale, padding_rows = 1, 76 * 512
    counts = [sum(p.numel() for p in model.parameters()) for model in (shared, towers)]
    assert counts[0] + logit_scale == 149_619_969, "the released CLIP model's number"
    assert counts[1] - counts[0] == padding_rows
    trunk, text = towers.visual.trunk, towers.text
    assert (len(trunk.blocks), trunk.num_features, trunk.patch_embed.num_patches) == (12, 768, 196)
    assert {m.eps for m in towers.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-6}
    assert {type(block.mlp.act).__name__ for block in trunk.blocks} == {"GELU"}
    assert text.token_embedding.weight.shape == (49408 + 76, 512)
    assert {type(block.mlp.gelu).__name__ for block in text.transformer.resblocks} == {"QuickGELU"}
    assert (len(text.transformer.resblocks), text.heads, settings.context_length) == (12, 8, 77)
    assert text.attn_mask[0, 1] == -torch.inf and text.attn_mask[1, 0] == 0
    for projection, width in ((towers.visual.head.proj.weight, 768), (text.text_projection, 512)):
        assert (
            abs(projection.std().item() * width**0.5 - 1) < 0.02
            and abs(projection.mean().item()) < 1e-3
        )
    assert towers.visual.head.proj.bias is None


def test_counted_padding_embeddings():
    settings = settings_of("counted-padding")
    base = tokenizer.create(settings.model_copy(update={"padding_embeddings": "shared"}))
    texts = ["wow!(dog)", "", "word " * 40]
    plain, ours = base(texts), tokenizer.create(settings)(texts)
    for before, after in zip(plain.tolist(), ours.tolist(), strict=True):
        zeros = [position for position, entry in enumerate(before) if entry == 0]
        assert [after[position] for position in zeros] == [49408 + n for n in range(len(zeros))]
        assert all(after[p] == before[p] for p in range(16) if p not in zeros)
    assert (plain[0, : plain[0].argmax()] == 0).any(), "the '!' within a word counts too"
    assert ours.max() < Towers(settings).text.vocab_size == 49408 + 15


def test_long_captions_are_cut_or_keep_their_end():
    kept = settings_of("timm")
    cut = kept.model_copy(update={"long_captions": "cut"})
    for words, same in ((14, True), (15, False), (40, False)):
        texts = ["word " * words]
        with_end, without = (tokenizer.create(settings)(texts)[0] for settings in (kept, cut))
        assert (with_end == without).all() == same and (with_end[:15] == without[:15]).all()
        assert (with_end[-1] == 49407) and (without[-1] == 49407) == same
    assert tokenizer.pieces("word " * 40, cut) == ["start"] + ["word"] * 15
    towers = Towers(cut).eval()
    with torch.inference_mode():
        output = towers.encode_text(torch.from_numpy(without[None]))
    torch.testing.assert_close(output.pooled, output.tokens[:, 0])


LARGE = [name for name in config.names() if name.startswith("wpse-")]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.whole) if name in LARGE else name
        for name in config.names()
    ],
)
def test_own_configurations_build(name):
    settings = config.load(name)
    towers = Towers(settings).eval()
    with torch.inference_mode():
        output = towers.encode_image(torch.randn(2, 3, settings.image_size, settings.image_size))
        assert output.project(output.tokens).shape[-1] == settings.embed_dim


TEXTS = ["word " * words for words in range(20)] + ["wow!(dog)", ""]
"""Captions of every length up to beyond the context, in an order that is none."""


@pytest.mark.parametrize("long_captions", ["cut", "keep-end"])
@pytest.mark.parametrize("family", ["timm", "counted-padding", "bidirectional-text", "no-head"])
def test_the_pooled_text_alone_is_that_of_the_whole_text(family, long_captions):
    bare = family == "no-head"
    settings = settings_of("timm" if bare else family)
    settings = settings.model_copy(update={"long_captions": long_captions})
    if bare:
        settings = settings.model_copy(update={"text_cfg": {**TEXT, "proj_type": "none"}})
    torch.manual_seed(0)
    towers, computed = Towers(settings).eval(), []
    torch.nn.init.normal_(towers.text.positional_embedding)
    tokens = torch.from_numpy(tokenizer.create(settings)(TEXTS))
    with torch.inference_mode():
        whole = towers.encode_text(tokens)
        towers.text.transformer.register_forward_pre_hook(
            lambda module, inputs: computed.append(inputs[0].shape[0] * inputs[0].shape[1])
        )
        alone = towers.encode_text(tokens, pooled_alone=True)
        torch.testing.assert_close(alone.pooled, whole.pooled, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            alone.project(alone.pooled), whole.project(whole.pooled), atol=1e-5, rtol=1e-5
        )
    causal = family != "bidirectional-text"
    assert (alone.tokens is None) == causal
    assert (sum(computed) < tokens.numel()) == causal


def test_a_text_is_cut_the_same_whatever_stands_beside_it():
    settings = settings_of("timm")
    towers, lengths = Towers(settings).eval(), []
    tokens = torch.from_numpy(tokenizer.create(settings)(["a dog", "word " * 12, "a cat"]))
    towers.text.transformer.register_forward_pre_hook(
        lambda module, inputs: lengths.append(tuple(inputs[0].shape[:2]))
    )
    with torch.inference_mode():
        towers.encode_text(tokens, pooled_alone=True)
        towers.encode_text(tokens[:1], pooled_alone=True)
    assert lengths == [(2, 8), (1, 16), (1, 8)]


class TestRefusals:
    def test_text_towers_of_hugging_face_that_are_not_on_this_machine(self):
        with pytest.raises(UserError, match="cannot build the towers 'roberta-ViT-B-32'"):
            Towers(config.load("roberta-ViT-B-32"))

    def test_captioning_towers(self):
        with pytest.raises(UserError, match=r"coca_ViT-B-32.*multimodal_cfg"):
            config.load("coca_ViT-B-32")

    def test_a_tokenizer_that_is_not_here(self):
        with pytest.raises(UserError, match="'nobody/nothing', which is not on this machine"):
            text = {**TEXT, "hf_tokenizer_name": "nobody/nothing"}
            tokenizer.create(
                config.TowerConfig(name="hf", embed_dim=24, vision_cfg=PLAIN, text_cfg=text)
            )

    def test_a_trunk_that_does_not_exist(self):
        with pytest.raises(UserError, match="cannot build"):
            vision = timm("vit_of_nowhere")
            Towers(
                config.TowerConfig(name="nowhere", embed_dim=24, vision_cfg=vision, text_cfg=TEXT)
            )


def test_a_tokenizer_of_hugging_face(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({"[PAD]": 0, "[UNK]": 1, "red": 2, "dog": 3}, unk_token="[UNK]")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(tmp_path)
    text = {**TEXT, "context_length": 4, "hf_tokenizer_name": str(tmp_path)}
    tokenize = tokenizer.create(
        config.TowerConfig(name="hf", embed_dim=24, vision_cfg=PLAIN, text_cfg=text)
    )
    assert tokenize(["red dog", "dog red blue dog dog"]).tolist() == [[2, 3, 0, 0], [3, 2, 1, 3]]


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
    assert first.max() == tokenizer.embedding_settings(settings)["vocab_size"] - 1


@pytest.mark.whole
def test_towers_wait_neither_for_transformers_nor_for_the_compiler_of_torch():
    """open_clip, torchvision and timm would import them for towers that kbench does not build and to
    decorate what it does not call; whoever calls or imports them afterwards gets them.
    """
    code = """
import importlib.util, sys
import kbench.towers.model, timm, torch, torchvision
assert not [name for name in sys.modules if name.startswith(("torch._dynamo", "transformers"))]
assert sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu") in (True, False)
assert hasattr(sys.modules["torch._dynamo.utils"], "counters")
assert timm.layers.disable_compiler is not torch.compiler.disable
assert timm.layers.disable_compiler(lambda: 3)() == 3
assert importlib.util.find_spec("transformers") is None or __import__("transformers")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
