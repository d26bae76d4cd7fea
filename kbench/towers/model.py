"""Image and text towers that yield every token after the final norm."""

import torch
from torch import nn

import kbench.towers.compat  # isort: skip  # before open_clip: see there
import open_clip
from open_clip.model import CustomTextCLIP
from open_clip.transformer import TextTransformer, text_global_pool

import kbench.towers.trunk  # noqa: F401  # registers kbench's trunks with timm
from kbench.errors import UserError
from kbench.towers import image, tokenizer
from kbench.towers.config import TowerConfig
from kbench.towers.output import TowerOutput

__all__ = ["Towers"]


class Towers(nn.Module):
    """The two towers of an open_clip model, without its logit scale: that belongs to the
    similarity.

    Raises UserError if the configuration is not one open_clip can build or whose tokens cannot be
    had.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        if "hf_model_name" in config.text_cfg:
            raise UserError(
                f"towers '{config.name}': only open_clip's own text transformer is supported"
            )
        text_cfg = {
            **config.text_cfg,
            **tokenizer.embedding_settings(config),
            "output_tokens": True,
        }
        try:
            model = CustomTextCLIP(
                embed_dim=config.embed_dim,
                vision_cfg=open_clip.CLIPVisionCfg(**config.vision_cfg),
                text_cfg=open_clip.CLIPTextCfg(**text_cfg),
                quick_gelu=config.quick_gelu,
            )
        except (TypeError, RuntimeError, AssertionError) as error:
            raise UserError(
                f"open_clip cannot build the towers '{config.name}': {error}"
            ) from error
        self.visual, self.text = model.visual, model.text
        self._read_image = image.reader(config.name, self.visual)
        if not isinstance(self.text, TextTransformer) or self.text.cls_emb is not None:
            raise UserError(
                f"towers '{config.name}': a text tower with an appended class token is not"
                " supported"
            )
        if config.layer_norm_eps is not None:
            _set_layer_norm_eps(model, config.layer_norm_eps)
        if config.released_projection:
            image.draw_projection(self.visual)
        self.embed_dim = config.embed_dim
        self.context_length = config.context_length

    @property
    def widths(self) -> dict[str, int]:
        """Width of the token embeddings on each side."""
        return {"image": image.width(self.visual), "text": self.text.width}

    def encode_image(self, images: torch.Tensor) -> TowerOutput:
        """Encode normalised images (B, 3, S, S) into M tokens each."""
        return self._read_image(self.visual, images)

    def encode_text(self, tokens: torch.Tensor) -> TowerOutput:
        """Encode token ids (B, T) into T tokens each, padding included."""
        _, embeddings = self.text(tokens)
        pooled = text_global_pool(
            embeddings, tokens, pool_type=self.text.pool_type, eos_token_id=self.text.eos_id
        )
        return TowerOutput(embeddings, pooled, self._project_text)

    def _project_text(self, embeddings: torch.Tensor) -> torch.Tensor:
        projection = self.text.text_projection
        if projection is None:
            return embeddings
        return (
            projection(embeddings) if isinstance(projection, nn.Linear) else embeddings @ projection
        )


def _set_layer_norm_eps(model: nn.Module, eps: float) -> None:
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = eps
