"""How each family of open_clip's image towers yields its tokens, its pooled embedding and its
projection.

A reader takes the tower and normalised images (B, 3, S, S). Its tokens come after the tower's final
norm; `pooled` is what the tower itself projects to its embedding.
"""

from collections.abc import Callable

import torch

import kbench.towers.compat  # isort: skip  # noqa: F401
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from open_clip.transformer import VisionTransformer
from torch import nn
from torch.nn import functional

from kbench.towers.output import TowerOutput, embedding_alone

Reader = Callable[[nn.Module, torch.Tensor], TowerOutput]


def reader(visual: nn.Module) -> Reader:
    """Return the reader of an open_clip image tower."""
    if not has_tokens(visual):
        return _whole
    readers = {TimmModel: _timm, VisionTransformer: _vision_transformer, ModifiedResNet: _resnet}
    return readers[type(visual)]


def has_tokens(visual: nn.Module) -> bool:
    """Return whether the tower's tokens can be had: pooling that projects the feature map leaves
    none.
    """
    return not (isinstance(visual, TimmModel) and "pool" in visual.head._modules)


def width(visual: nn.Module) -> int:
    """Return the width of what the tower pools to."""
    if not has_tokens(visual):
        return visual.head.pool.out_features
    if isinstance(visual, TimmModel):
        return visual.trunk.num_features
    if isinstance(visual, ModifiedResNet):
        return visual.attnpool.c_proj.in_features
    return visual.proj.shape[0]


def draw_projection(visual: nn.Module) -> None:
    """Draw the linear projection of a timm trunk from N(0, 1/width), as the released WPSE code
    does.

    open_clip's own transformers are drawn so already; its adapter of timm leaves torch's default.
    """
    projection = visual.head.proj
    nn.init.normal_(projection.weight, std=projection.in_features**-0.5)


def _timm(visual: TimmModel, images: torch.Tensor) -> TowerOutput:
    trunk = visual.trunk
    features = trunk.forward_features(images)
    # Where the projection is the trunk's own classifier, open_clip's head is empty.
    project = visual.head if len(visual.head) else trunk.get_classifier()
    return TowerOutput(
        _tokens(trunk, features), trunk.forward_head(features, pre_logits=True), project
    )


def _tokens(trunk: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Return a trunk's features as (B, M, width), after the norm that some trunks keep in their
    head.
    """
    norm = getattr(trunk, "fc_norm", None) or getattr(getattr(trunk, "head", None), "norm", None)
    if norm is not None:
        features = norm(features)
    if features.ndim == 4 and features.shape[1] == trunk.num_features:
        return features.flatten(2).transpose(1, 2)
    return features.flatten(1, -2)


def _vision_transformer(visual: VisionTransformer, images: torch.Tensor) -> TowerOutput:
    states = visual.transformer(visual._embeds(images))
    if visual.attn_pool is None:
        tokens = visual.ln_post(states)
    elif visual.attn_pool_contrastive is None:
        tokens = visual.ln_post(visual.attn_pool(states))
    else:
        tokens = visual.attn_pool(visual.ln_post(states))
    return TowerOutput(tokens, visual._pool(states)[0], lambda embeddings: embeddings @ visual.proj)


def _resnet(visual: ModifiedResNet, images: torch.Tensor) -> TowerOutput:
    features = visual.stem(images)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        features = layer(features)
    pool = visual.attnpool
    states = features.flatten(2).transpose(1, 2)
    states = torch.cat([states.mean(1, keepdim=True), states], dim=1) + pool.positional_embedding
    # The tower asks for the mean's token alone; every token is asked for here, before the last
    # projection.
    query, key, value = (
        linear(states).unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
        for linear in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    tokens = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    return TowerOutput(tokens, tokens[:, 0], pool.c_proj)


def _whole(visual: nn.Module, images: torch.Tensor) -> TowerOutput:
    return embedding_alone(visual(images))
