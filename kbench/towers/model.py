"""Image and text towers that yield every token after the final norm."""

import torch
from torch import nn

import kbench.towers.compat  # isort: skip  # before open_clip, which imports torchvision
import open_clip
from open_clip.model import CustomTextCLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer, VisionTransformer, text_global_pool

import kbench.towers.trunk  # registers kbench's trunks with timm
from kbench.errors import UserError
from kbench.towers.config import TowerConfig
from kbench.towers.output import TowerOutput
from kbench.towers.tokenizer import vocabulary_size

__all__ = ["Towers"]


class Towers(nn.Module):
    """The two towers of an open_clip model, without its logit scale: that belongs to the similarity.

    Raises UserError if the configuration is not one open_clip can build or whose tokens cannot be had.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        text_cfg = dict(config.text_cfg, vocab_size=vocabulary_size(config), output_tokens=True)
        try:
            model = CustomTextCLIP(
                embed_dim=config.embed_dim,
                vision_cfg=open_clip.CLIPVisionCfg(**config.vision_cfg),
                text_cfg=open_clip.CLIPTextCfg(**text_cfg),
                quick_gelu=config.quick_gelu,
            )
        except (TypeError, RuntimeError, AssertionError) as error:
            raise UserError(f"open_clip cannot build the towers '{config.name}': {error}") from error
        self.visual, self.text = model.visual, model.text
        self._image_tokens = _image_reader(config.name, self.visual)
        if not isinstance(self.text, TextTransformer) or self.text.cls_emb is not None:
            raise UserError(
                f"towers '{config.name}': only open_clip's text transformer without class token is supported"
            )
        self.embed_dim = config.embed_dim
        self.context_length = config.context_length

    @property
    def widths(self) -> dict[str, int]:
        """Width of the token embeddings on each side."""
        visual = self.visual
        image = visual.trunk.num_features if isinstance(visual, TimmModel) else visual.proj.shape[0]
        return {"image": image, "text": self.text.width}

    def encode_image(self, images: torch.Tensor) -> TowerOutput:
        """Encode normalised images (B, 3, S, S) into M = 1 + patches tokens each."""
        return self._image_tokens(self.visual, images)

    def encode_text(self, tokens: torch.Tensor) -> TowerOutput:
        """Encode token ids (B, T) into T tokens each, padding included."""
        _, embeddings = self.text(tokens)
        pooled = text_global_pool(embeddings, tokens, pool_type=self.text.pool_type, eos_token_id=self.text.eos_id)
        return TowerOutput(embeddings, pooled, self._project_text)

    def _project_text(self, embeddings: torch.Tensor) -> torch.Tensor:
        projection = self.text.text_projection
        return projection(embeddings) if isinstance(projection, nn.Linear) else embeddings @ projection


def _image_reader(name: str, visual: nn.Module):
    if isinstance(visual, TimmModel) and isinstance(visual.trunk, kbench.towers.trunk.VisionTransformer):
        return _timm_tokens
    if isinstance(visual, VisionTransformer) and visual.pool_type == "tok" and visual.attn_pool is None:
        return _open_clip_tokens
    raise UserError(f"towers '{name}': image tokens are only available from vision transformers with a class token")


def _timm_tokens(visual: TimmModel, images: torch.Tensor) -> TowerOutput:
    tokens = visual.trunk.forward_features(images)
    return TowerOutput(tokens, visual.trunk.forward_head(tokens), visual.head)


def _open_clip_tokens(visual: VisionTransformer, images: torch.Tensor) -> TowerOutput:
    tokens = visual.ln_post(visual.transformer(visual._embeds(images)))
    return TowerOutput(tokens, tokens[:, 0], lambda embeddings: embeddings @ visual.proj)
