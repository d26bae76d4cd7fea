"""How each family of open_clip's text towers yields its tokens, its pooled embedding and its
projection.

A reader takes the tower and token ids (B, T). Its tokens, T of them with padding included, come
after the tower's final norm; `pooled` is what the tower itself projects to its embedding.
"""

from collections.abc import Callable

import torch

import kbench.towers.compat  # isort: skip  # noqa: F401
from open_clip.hf_configs import arch_dict
from open_clip.hf_model import HFTextEncoder
from open_clip.transformer import TextTransformer, text_global_pool
from torch import nn

from kbench.towers.output import TowerOutput, embedding_alone

Reader = Callable[[nn.Module, torch.Tensor], TowerOutput]


def reader(text: nn.Module) -> Reader:
    """Return the reader of an open_clip text tower."""
    if isinstance(text, HFTextEncoder):
        return _hugging_face
    # An appended class token (CoCa) is pooled before the final norm, which the tokens never see.
    return _transformer if text.cls_emb is None else _whole


def width(text: nn.Module) -> int:
    """Return the width of what the tower pools to."""
    if isinstance(text, HFTextEncoder):
        names = arch_dict[text.config.model_type]["config_names"]
        return getattr(text.config, names["width"])
    return text.width if text.cls_emb is None else text.output_dim


def has_tokens(text: nn.Module) -> bool:
    """Return whether the tower's tokens can be had."""
    return reader(text) is not _whole


def _transformer(text: TextTransformer, tokens: torch.Tensor) -> TowerOutput:
    _, embeddings = text(tokens)
    pooled = text_global_pool(
        embeddings, tokens, pool_type=text.pool_type, eos_token_id=text.eos_id
    )

    def project(embeddings: torch.Tensor) -> torch.Tensor:
        projection = text.text_projection
        if projection is None:
            return embeddings
        return (
            projection(embeddings) if isinstance(projection, nn.Linear) else embeddings @ projection
        )

    return TowerOutput(embeddings, pooled, project)


def _hugging_face(text: HFTextEncoder, tokens: torch.Tensor) -> TowerOutput:
    present = (tokens != text.config.pad_token_id).long()
    states = text.transformer(input_ids=tokens, attention_mask=present)
    return TowerOutput(states.last_hidden_state, text.pooler(states, present), text.proj)


def _whole(text: TextTransformer, tokens: torch.Tensor) -> TowerOutput:
    embedding, _ = text(tokens)
    return embedding_alone(embedding)
