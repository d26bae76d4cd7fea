"""Image and text towers that yield every token after the final norm."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

import kbench.towers.compat  # isort: skip  # before open_clip: see there
import open_clip
from open_clip.model import CustomTextCLIP

import kbench.towers.trunk  # registers kbench's trunks with timm
from kbench.errors import UserError
from kbench.towers import image, text, tokenizer
from kbench.towers.config import TowerConfig
from kbench.towers.output import Side, TowerOutput

__all__ = ["Towers"]


class Towers(nn.Module):
    """The two towers of an open_clip model, without its logit scale: that belongs to the
    similarity.

    Raises UserError if the configuration is not one open_clip can build or whose tokens cannot be
    had.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        text_cfg = {
            **config.text_cfg,
            **tokenizer.embedding_settings(config),
            "output_tokens": True,
            # Weights come from a checkpoint or are drawn, never from a hub.
            "hf_model_pretrained": False,
        }
        if "hf_model_name" in config.text_cfg:
            kbench.towers.compat.give_open_clip_transformers()
        try:
            with kbench.towers.compat.without_hub():
                model = CustomTextCLIP(
                    embed_dim=config.embed_dim,
                    vision_cfg=open_clip.CLIPVisionCfg(**config.vision_cfg),
                    text_cfg=open_clip.CLIPTextCfg(**text_cfg),
                    quick_gelu=config.quick_gelu,
                )
        except (TypeError, RuntimeError, AssertionError, OSError, ValueError) as error:
            raise UserError(
                f"open_clip cannot build the towers '{config.name}': {error}"
            ) from error
        self.visual, self.text = model.visual, model.text
        self._read_image, self._read_text = image.reader(self.visual), text.reader(self.text)
        self._read_pooled_text = text.pooled_reader(self.text)
        if config.layer_norm_eps is not None:
            _set_layer_norm_eps(model, config.layer_norm_eps)
        if config.released_projection:
            image.draw_projection(self.visual)
        self._frozen: tuple[nn.Module, ...] = ()
        self.embed_dim = config.embed_dim
        self.context_length = config.context_length

    def freeze(self, sides: Sequence[Side]) -> None:
        """Have towers keep their weights, and compute in training what they do in evaluation:
        nothing is dropped, and batch norms keep their statistics.
        """
        self._frozen = tuple({"image": self.visual, "text": self.text}[side] for side in sides)
        for tower in self._frozen:
            tower.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Towers":
        """Switch between training and evaluation what is not frozen."""
        super().train(mode)
        for tower in self._frozen:
            tower.eval()
        return self

    @property
    def widths(self) -> dict[str, int]:
        """Width of the token embeddings on each side."""
        return {"image": image.width(self.visual), "text": text.width(self.text)}

    @property
    def vocabulary(self) -> int | None:
        """Number of token ids of a text tower whose tokens see none of those after them; None of
        others.
        """
        return self.text.vocab_size if text.is_causal(self.text) else None

    @property
    def has_tokens(self) -> bool:
        """Whether both towers give every token, not their pooled embedding alone."""
        return image.has_tokens(self.visual) and text.has_tokens(self.text)

    def encode_image(self, images: torch.Tensor) -> TowerOutput:
        """Encode normalised images (B, 3, S, S) into M tokens each, where there are any."""
        return replace(self._read_image(self.visual, images), pixels=images)

    def encode_text(self, tokens: torch.Tensor, pooled_alone: bool = False) -> TowerOutput:
        """Encode token ids (B, T) into T tokens each, padding included, where there are any.

        pooled_alone: the tokens are not asked for, and where none after the pooled one moves it
        they are not computed.
        """
        read = self._read_pooled_text if pooled_alone else self._read_text
        return read(self.text, tokens)


def _set_layer_norm_eps(model: nn.Module, eps: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps
