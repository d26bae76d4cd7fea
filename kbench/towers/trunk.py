"""A small image trunk for experiments that train on a CPU, registered with timm so that open_clip
builds it by name.

A plain patch embedding does not learn shapes from a few thousand small images; a convolutional stem
before a transformer block does.
"""

from typing import Any

import torch

import kbench.towers.compat  # isort: skip  # noqa: F401
from timm.models import VisionTransformer, register_model
from torch import nn


class ConvolutionalStem(nn.Module):
    """3x3 convolutions with batch norm and ReLU that turn (B, 3, S, S) into (B, (S/8)^2, width)
    tokens.

    It stands where timm's VisionTransformer expects its patch embedding. Channels come last in
    memory, which makes a step about a tenth faster on a CPU.
    """

    def __init__(
        self,
        img_size: int = 32,
        patch_size: int = 8,
        in_chans: int = 3,
        embed_dim: int = 64,
        **_: Any,
    ) -> None:
        super().__init__()
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size,) * 2
        self.num_patches = self.grid_size[0] ** 2
        widths = [in_chans, embed_dim // 4, embed_dim // 2, embed_dim, embed_dim]
        layers: list[nn.Module] = []
        for before, after, stride in zip(widths[:-1], widths[1:], (2, 2, 1, 2), strict=True):
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return (B, num_patches, width)."""
        images = images.contiguous(memory_format=torch.channels_last)
        return self.layers(images).flatten(2).transpose(1, 2)


class ConvolutionalVisionTransformer(VisionTransformer):
    """A VisionTransformer over a convolutional stem whose class token starts from the maximum over
    the patches.
    """

    def _pos_embed(self, x: torch.Tensor) -> torch.Tensor:
        summary = self.cls_token + x.amax(dim=1, keepdim=True)
        return torch.cat([summary, x], dim=1) + self.pos_embed


@register_model
def kbench_conv_vit_tiny(pretrained: bool = False, **kwargs: Any) -> ConvolutionalVisionTransformer:
    """Width 64, one block, 16 patches of a 32-pixel image."""
    for name in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(name, None)
    model = ConvolutionalVisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=64,
        depth=1,
        num_heads=4,
        embed_layer=ConvolutionalStem,
        num_classes=0,
        **kwargs,
    )
    model.default_cfg = {"pool_size": None, "input_size": (3, 32, 32)}
    return model
