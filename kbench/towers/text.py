"""How each family of open_clip's text towers yields its tokens, its pooled embedding and its
projection.

A reader takes the tower and token ids (B, T). Its tokens, T of them with padding included, come
after the tower's final norm; `pooled` is what the tower itself projects to its embedding. Who wants
the latter alone takes a `pooled_reader`, which computes no token that comes after it.
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

LENGTH_STEP = 8
"""Texts are cut to multiples of this length: a few lengths in a batch, each with many texts, and
the same length for a text whatever stands beside it.
"""


def reader(text: nn.Module) -> Reader:
    """Return the reader of an open_clip text tower."""
    if isinstance(text, HFTextEncoder):
        return _hugging_face
    # An appended class token (CoCa) is pooled before the final norm, which the tokens never see.
    return _transformer if text.cls_emb is None else _whole


def pooled_reader(text: nn.Module) -> Reader:
    """Return a reader whose output has no tokens, in less time where a token sees none of those
    after it.
    """
    return _to_the_pooled if is_causal(text) else reader(text)


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
    pooled, following = _pool(text, embeddings, tokens), None
    if is_causal(text):
        following = _next_ids(text, tokens)
    return TowerOutput(embeddings, pooled, _projection(text), following)


POOLED_AT: dict[str, Callable[[TextTransformer, torch.Tensor], torch.Tensor]] = {
    "argmax": lambda text, tokens: tokens.argmax(1),
    "eos": lambda text, tokens: (tokens == text.eos_id).int().argmax(1),
}
"""Where text_global_pool of open_clip finds the token that it takes, (B,)."""


def is_causal(text: nn.Module) -> bool:
    """Return whether a tower's tokens see none of those after them, and the text's end is known."""
    known = isinstance(text, TextTransformer) and text.cls_emb is None
    return (
        known
        and text.attn_mask is not None
        and not text.use_pad_mask
        and text.pool_type in POOLED_AT
    )


def _next_ids(text: TextTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """Return the id after each token but the last (B, T - 1), -1 from the end of the text on. A
    text that was cut has no end, and open_clip then finds it at 0: all of its tokens count.
    """
    ends = POOLED_AT[text.pool_type](text, tokens)
    ends = torch.where(ends == 0, tokens.shape[1] - 1, ends)
    places = torch.arange(1, tokens.shape[1], device=tokens.device)
    return tokens[:, 1:].masked_fill(places > ends[:, None], -1)


def _to_the_pooled(text: TextTransformer, tokens: torch.Tensor) -> TowerOutput:
    """Return what `_transformer` returns, without tokens."""
    ends = POOLED_AT[text.pool_type](text, tokens)
    lengths = (ends // LENGTH_STEP + 1).mul(LENGTH_STEP).clamp(max=tokens.shape[1])
    parts = [torch.nonzero(lengths == length).squeeze(1) for length in lengths.unique()]
    pooled = [_pooled_prefix(text, tokens[part, : int(lengths[part[0]])]) for part in parts]
    in_order = torch.cat(parts).argsort()
    return TowerOutput(None, torch.cat(pooled)[in_order], _projection(text))


def _pooled_prefix(text: TextTransformer, tokens: torch.Tensor) -> torch.Tensor:
    """Return the pooled tokens (B, width) of the first L positions (B, L), as TextTransformer's
    forward does, which takes texts of full length only.
    """
    length, dtype = tokens.shape[1], text.transformer.get_cast_dtype()
    positions = text.positional_embedding[:length].to(dtype)
    embeddings = text.token_embedding(tokens).to(dtype) + positions
    embeddings = text.transformer(embeddings, attn_mask=text.attn_mask[:length, :length])
    return _pool(text, text.ln_final(embeddings), tokens)


def _pool(text: TextTransformer, embeddings: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return text_global_pool(embeddings, tokens, pool_type=text.pool_type, eos_token_id=text.eos_id)


def _projection(text: TextTransformer) -> Callable[[torch.Tensor], torch.Tensor]:
    projection = text.text_projection
    if projection is None:
        return lambda embeddings: embeddings
    if isinstance(projection, nn.Linear):
        return projection
    return lambda embeddings: embeddings @ projection


def _hugging_face(text: HFTextEncoder, tokens: torch.Tensor) -> TowerOutput:
    present = (tokens != text.config.pad_token_id).long()
    states = text.transformer(input_ids=tokens, attention_mask=present)
    return TowerOutput(states.last_hidden_state, text.pooler(states, present), text.proj)


def _whole(text: TextTransformer, tokens: torch.Tensor) -> TowerOutput:
    embedding, _ = text(tokens)
    return embedding_alone(embedding)
