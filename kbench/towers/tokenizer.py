"""Byte-pair tokens of captions, optionally restricted to the few that an experiment's words
need.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kbench.errors import UserError
from kbench.towers.config import TowerConfig

FULL_VOCABULARY = 49408
"""Rows of CLIP's byte-pair vocabulary."""

Tokenizer = Callable[[Sequence[str]], np.ndarray]


@functools.cache
def _byte_pairs():
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


@functools.lru_cache(maxsize=65536)
def _encode(caption: str, context_length: int, cut: bool) -> np.ndarray:
    """Return the ids (context length,) of a caption, padded with 0; `cut`: a long one loses its end
    of text.
    """
    if not cut:
        return _byte_pairs()(caption, context_length=context_length)[0].numpy()
    pairs = _byte_pairs()
    ids = [pairs.sot_token_id, *pairs.encode(caption), pairs.eot_token_id][:context_length]
    return np.pad(np.array(ids), (0, context_length - len(ids)))


@functools.lru_cache(maxsize=8)
def _kept_ids(words: tuple[str, ...]) -> np.ndarray:
    """Return the sorted ids of padding, start, end and the words' byte pairs; the end of text stays
    the largest.
    """
    ids = {0, _byte_pairs().sot_token_id, _byte_pairs().eot_token_id}
    for word in words:
        ids.update(_byte_pairs().encode(word))
    return np.array(sorted(ids))


def embedding_settings(config: TowerConfig) -> dict[str, Any]:
    """Return the entries of open_clip's CLIPTextCfg that follow from the tokens: rows, and how
    their end is found.
    """
    size = _vocabulary_size(config)
    if config.padding_embeddings == "shared":
        return {"vocab_size": size}
    # Padding then has the largest ids, so the end of text is found by its own; where it was cut
    # off, open_clip takes position 0, and so does the released code, in which the start of text is
    # then the largest id.
    return {"vocab_size": size + config.context_length - 1, "pool_type": "eos", "eos_id": size - 1}


def pieces(caption: str, config: TowerConfig) -> list[str]:
    """Return what stands at each position of a caption: 'start', byte pairs as text, 'end', then ''
    for padding.
    """
    names = {_byte_pairs().sot_token_id: "start", _byte_pairs().eot_token_id: "end"}
    ids, end = (
        _encode(caption, config.context_length, config.long_captions == "cut").tolist(),
        _byte_pairs().eot_token_id,
    )
    written = ids.index(end) + 1 if end in ids else len(ids)
    texts = [names.get(entry) or _byte_pairs().decode([entry]).strip() for entry in ids[:written]]
    return texts + [""] * (config.context_length - written)


def create(config: TowerConfig) -> Tokenizer:
    """Return a function from captions to token ids (B, context length), int64, padded with 0.

    With a restricted vocabulary, ids are renumbered in order from 0 and every other byte pair
    becomes row 1: open_clip pools at the largest id, which must remain the end of text. With
    counted padding embeddings, the n-th id 0 of a text becomes V + n - 1, V being the size of the
    vocabulary; an exclamation mark within a word, whose id is 0 too, counts, as it does in the
    released WPSE code. Raises UserError if the configuration names a Hugging Face tokenizer that is
    not on this machine.
    """
    if "hf_tokenizer_name" in config.text_cfg:
        return _hugging_face(config)

    cut = config.long_captions == "cut"

    def tokenize(captions: Sequence[str]) -> np.ndarray:
        ids = np.stack([_encode(caption, config.context_length, cut) for caption in captions])
        if config.words is not None:
            ids = _renumbered(ids, config.words)
        if config.padding_embeddings == "counted":
            ids = _counted(ids, _vocabulary_size(config))
        return ids

    return tokenize


def _vocabulary_size(config: TowerConfig) -> int:
    if config.words is None:
        return config.text_cfg.get("vocab_size", FULL_VOCABULARY)
    return len(_kept_ids(config.words)) + 1


def _renumbered(ids: np.ndarray, words: tuple[str, ...]) -> np.ndarray:
    kept = _kept_ids(words)
    place = np.minimum(np.searchsorted(kept, ids), len(kept) - 1)
    return np.where(kept[place] == ids, place + (place > 0), 1)


def _counted(ids: np.ndarray, size: int) -> np.ndarray:
    return np.where(ids == 0, size - 1 + np.cumsum(ids == 0, axis=1), ids)


def _hugging_face(config: TowerConfig) -> Tokenizer:
    import kbench.towers.compat  # isort: skip  # noqa: F401
    from open_clip.tokenizer import HFTokenizer

    name, settings = (
        config.text_cfg["hf_tokenizer_name"],
        config.text_cfg.get("tokenizer_kwargs") or {},
    )
    mode = config.text_cfg.get("tokenizer_mode")
    try:
        tokenizer = HFTokenizer(
            name, config.context_length, tokenizer_mode=mode, local_files_only=True, **settings
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"towers '{config.name}' need the tokenizer '{name}', which is not on this machine: "
            f"`hf download {name}` puts it into Hugging Face's cache"
        ) from error
    return lambda captions: tokenizer(list(captions)).numpy()
