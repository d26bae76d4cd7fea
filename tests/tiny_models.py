"""Models of open_clip's in its own folder form, tiny, with weights drawn by chance: one of each
kind that differs in towers, preprocessing, tokenizer or bias.
"""

import json
from collections.abc import Callable
from pathlib import Path

import open_clip
import pytest
import torch
from clip_benchmark_peer import WORDS, Peer
from safetensors.torch import save_file

from kbench import files
from kbench.evaluate.run import TrainedRun
from kbench.experiment.load import imported
from kbench.towers.compat import give_open_clip_transformers

TEXT = {"context_length": 20, "width": 48, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "patch_size": 8, "width": 48, "layers": 2, "head_width": 16}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

Configuration = dict[str, dict]


def vit(folder: Path) -> Configuration:
    """OpenAI's form: the text tower is part of the model, GELU is its quick form."""
    model = {"embed_dim": 40, "quick_gelu": True, "vision_cfg": VISION, "text_cfg": TEXT}
    return {"model_cfg": model, "preprocess_cfg": {"size": 32}}


def convnext(folder: Path) -> Configuration:
    """A trunk of timm's, with images resized by another filter."""
    trunk = {"timm_model_name": "convnext_atto", "timm_pool": "", "timm_proj": "linear"}
    vision = {"image_size": 64, **trunk}
    model = {"embed_dim": 40, "vision_cfg": vision, "text_cfg": TEXT, "custom_text": True}
    return {"model_cfg": model, "preprocess_cfg": {**HALF, "interpolation": "bilinear"}}


def siglip(folder: Path) -> Configuration:
    """SigLIP's form: a bias, pooling by attention, the last text token, squashed images, and a
    tokenizer of Hugging Face's.
    """
    write_tokenizer(folder)
    trunk = {
        "timm_model_name": "test_vit",
        "timm_pool": "map",
        "timm_proj": "none",
        "image_size": 160,
    }
    text = {
        **TEXT,
        "vocab_size": 300,
        "hf_tokenizer_name": "nobody/this-name-is-not-looked-up",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    }
    model = {"embed_dim": 64, "vision_cfg": trunk, "text_cfg": text, "custom_text": True}
    model["init_logit_bias"] = -10
    preprocess = {**HALF, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": model, "preprocess_cfg": preprocess}


def hugging_face(folder: Path) -> Configuration:
    """A text tower of Hugging Face's, its tokenizer, and images that are padded to a square."""
    from transformers import BertConfig

    give_open_clip_transformers()
    write_tokenizer(folder)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    bert = BertConfig(vocab_size=300, intermediate_size=64, pad_token_id=0, **sizes)
    bert.save_pretrained(folder / "bert")
    text = {
        "hf_model_name": str(folder / "bert"),
        "hf_tokenizer_name": "nobody/this-name-is-not-looked-up",
        "hf_proj_type": "mlp",
        "hf_pooler_type": "mean_pooler",
        "context_length": 20,
    }
    model = {"embed_dim": 40, "vision_cfg": VISION, "text_cfg": text, "custom_text": True}
    return {"model_cfg": model, "preprocess_cfg": {"resize_mode": "longest", "fill_color": 90}}


def coca(folder: Path) -> Configuration:
    """CoCa's towers: a class token appended to the text, and a decoder that no embedding needs."""
    vision = {**VISION, "attentional_pool": True, "attn_pooler_queries": 5, "output_tokens": True}
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 20, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 1}
    model = {"embed_dim": 40, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder}
    return {"model_cfg": {**model, "custom_text": True}, "preprocess_cfg": {}}


KINDS: dict[str, Callable[[Path], Configuration]] = {
    kind.__name__: kind for kind in (vit, convnext, siglip, hugging_face, coca)
}


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of bytes and a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    names = ["[PAD]", "[UNK]", "[CLS]", *sorted(alphabet), *sorted(set(WORDS) - set(alphabet))]
    tokens = {name: index for index, name in enumerate(names)}
    fast = Tokenizer(models.WordPiece(tokens, unk_token="[UNK]", continuing_subword_prefix=""))
    fast.pre_tokenizer = pre_tokenizers.Whitespace()
    fast.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", tokens["[CLS]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    PreTrainedTokenizerFast(tokenizer_object=fast, **special).save_pretrained(folder)


def write(kind: str, folder: Path) -> Path:
    """Write a model whose embeddings differ widely between inputs; returns its folder."""
    folder.mkdir(parents=True)
    configuration = KINDS[kind](folder)
    (folder / "open_clip_config.json").write_text(json.dumps(configuration))
    torch.manual_seed(0)
    weights = open_clip.create_model(f"local-dir:{folder}", pretrained_text=False).state_dict()
    for name, tensor in weights.items():
        if tensor.ndim > 1 and tensor.is_floating_point():
            tensor += tensor.std() * torch.randn(tensor.shape)
        weights[name] = tensor.contiguous()
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


def peer(folder: Path) -> Peer:
    """Return the model as CLIP_benchmark's command line loads it."""
    from clip_benchmark.models import load_clip

    model, *rest = load_clip("open_clip", f"local-dir:{folder}", "", None, device="cpu")
    return Peer(model.eval(), *rest)


def taken(kbench: Callable, source: Path, folder: Path, *options: str) -> TrainedRun:
    """Import a model into a working folder and take it into a run's folder there."""
    folder.mkdir(parents=True, exist_ok=True)
    done = kbench("model", "import", f"local-dir:{source}", "--as", "their", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        config = imported("their")
    run = folder / "results" / "x" / "runs" / config.run
    files.write_json(run / "config.json", config.model_dump(mode="json"))
    done = kbench("model", "take", "--run", run, cwd=folder)
    assert done.returncode == 0, done.stderr
    return TrainedRun(run)
