"""Byte-pair tokens of captions, optionally restricted to the few that an experiment's words need."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

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
def _encode(caption: str, context_length: int) -> np.ndarray:
    return _byte_pairs()(caption, context_length=context_length)[0].numpy()


@functools.lru_cache(maxsize=8)
def _kept_ids(words: tuple[str, ...]) -> np.ndarray:
    """Return the sorted ids of padding, start, end and the words' byte pairs; the end of text stays the largest."""
    ids = {0, _byte_pairs().sot_token_id, _byte_pairs().eot_token_id}
    for word in words:
        ids.update(_byte_pairs().encode(word))
    return np.array(sorted(ids))


def vocabulary_size(config: TowerConfig) -> int:
    """Return the number of embedding rows the text tower needs."""
    if config.words is None:
        return config.text_cfg.get("vocab_size", FULL_VOCABULARY)
    return len(_kept_ids(config.words)) + 1


def pieces(caption: str, context_length: int) -> list[str]:
    """Return what stands at each position of a caption: 'start', byte pairs as text, 'end', then '' for padding."""
    names = {_byte_pairs().sot_token_id: "start", _byte_pairs().eot_token_id: "end"}
    ids = _encode(caption, context_length).tolist()
    written = ids.index(_byte_pairs().eot_token_id) + 1
    texts = [names.get(entry) or _byte_pairs().decode([entry]).strip() for entry in ids[:written]]
    return texts + [""] * (context_length - written)


def create(config: TowerConfig) -> Tokenizer:
    """Return a function from captions to token ids (B, context length), int64, padded with 0.

    With a restricted vocabulary, ids are renumbered in order from 0 and every other byte pair becomes row 1: open_clip
    pools at the largest id, which must remain the end of text.
    """

    def tokenize(captions: Sequence[str]) -> np.ndarray:
        ids = np.stack([_encode(caption, config.context_length) for caption in captions])
        if config.words is None:
            return ids
        kept = _kept_ids(config.words)
        place = np.minimum(np.searchsorted(kept, ids), len(kept) - 1)
        known = kept[place] == ids
        return np.where(known, place + (place > 0), 1)

    return tokenize
