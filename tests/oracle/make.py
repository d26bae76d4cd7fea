"""Make the numbers again by running the released code: KBENCH_WPSE=CHECKOUT python tests/oracle/make.py [OUTPUT].

The checkout is of github sony/wpse at commit c6a965d. What of its imports cannot be had without a GPU, or is not used
by what runs here, is replaced by an empty module.
"""

import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import inputs
import numpy as np
import torch
from torch import nn

FIXTURE = Path(__file__).parent / "released.json"


def released() -> tuple[types.ModuleType, ...]:
    """Return the release's modules that are run here; exits with a message if it is another release."""
    checkout = os.environ.get("KBENCH_WPSE")
    if not checkout or not Path(checkout, "models.py").is_file():
        sys.exit("KBENCH_WPSE has to name a checkout of github sony/wpse")
    command = ["git", "-C", checkout, "rev-parse", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not commit.startswith(inputs.COMMIT):
        sys.exit(f"KBENCH_WPSE is at commit {commit}, not at {inputs.COMMIT}")
    for name, members in {
        "cuml": ["LogisticRegression"],
        "cuml.common": [],
        "cuml.common.device_selection": ["set_global_device_type"],
        "datasets": ["load_dataset"],
    }.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, None)
        sys.modules[name] = module
    import kbench.towers.compat  # isort: skip  # noqa: F401  # torchvision, which the release imports

    sys.path.insert(0, checkout)
    # kbench's tests have modules of such names nowhere; the release's are found first.
    import dataset_utils
    import losses
    import models
    import rapids_linear_probe
    import tokenizer
    import utils

    return tokenizer, models, dataset_utils, rapids_linear_probe, losses, utils


def tokens(tokenizer: types.ModuleType) -> list[list[int]]:
    """Return the token ids of every caption, padding included."""
    encode = tokenizer.SimpleTokenizer()
    return [encode(caption).tolist() for caption in inputs.captions()]


def rows(models: types.ModuleType, ids: list[list[int]], padding: str) -> list[list[int]]:
    """Return which rows of the embedding the text tower looks up: each row here holds its own number."""
    model = models.CLIP(8, 8, nn.Identity(), 77, 49408, 8, 1, 1, transformer_null_token_emb=padding)
    with torch.no_grad():
        numbers = torch.arange(len(model.token_embedding.weight), dtype=torch.float32)
        model.token_embedding.weight.copy_(numbers[:, None].expand(-1, 8))
        return model.preprocess_token_embedding(torch.tensor(ids))[..., 0].long().tolist()


def search(probe: types.ModuleType, scores: np.ndarray) -> dict[str, list[int] | int]:
    """Return the grid indices in the order in which they are tried, and the one that is chosen."""
    grid = np.logspace(-6, 6, inputs.GRID)
    tried = []

    def linear_probing(*_: object, C: float, metric: str) -> tuple[None, float]:
        tried.append(int(np.argmin(np.abs(grid - C))))
        return None, float(scores[tried[-1]])

    probe.linear_probing = linear_probing
    _, best, _ = probe.search_param(None, None, None, None, "accuracy")
    return {"tried": tried, "chosen": int(np.argmin(np.abs(grid - best)))}


def split(data: types.ModuleType, size: int) -> str:
    """Return the hash of the sorted indices that are held out."""
    return digest(data.get_random_split(range(size), "val", seed=314).indices)


def caltech101(data: types.ModuleType) -> str:
    """Return the hash for Caltech-101: 30 images of each of 102 classes, as the probe's script splits them again."""
    from sklearn.model_selection import train_test_split

    labels = np.repeat(np.arange(102), 30)
    parts = [np.array(data.get_random_split(range(len(labels)), name, seed=314).indices) for name in ("train", "val")]
    order = np.concatenate(parts)
    _, held, _, _ = train_test_split(order, labels[order], stratify=labels[order], test_size=0.1, random_state=42)
    return digest(held)


def small_model(models: types.ModuleType, weighted: bool) -> nn.Module:
    """Return the release's WPSE or CLIP model at a small size, with weights that names alone decide."""
    import timm  # imports torchvision, which released() makes importable

    settings = {
        "embed_dim": inputs.EMBEDDING,
        "vision_width": inputs.TRUNK_WIDTH,
        "vision_model": timm.create_model(inputs.TRUNK, num_classes=0),
        "context_length": 77,
        "vocab_size": 49408,
        "transformer_width": inputs.WIDTH,
        "transformer_heads": inputs.HEADS,
        "transformer_layers": inputs.LAYERS,
    }
    if weighted:
        scale = {"init": {"type": "scale", "value": 14.285714}, "activation": models.LogitScaleIdentity()}
        scale |= {"max": {"type": "scale", "value": 100.0}, "min": {"type": "scale", "value": 1.0}}
        settings |= {"transformer_null_token_emb": "sequel", "weight_act": models.ScaledTanh(100.0)}
        model = models.CLIP_WPSE_two_proj(**settings, config_logit_scale=scale)
    else:
        model = models.CLIP(**settings)
    model.apply(lambda module: models.modify_layernorm_eps(module, 1e-6))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name != "logit_scale":
                parameter.copy_(torch.from_numpy(inputs.weights(name, tuple(parameter.shape))))
    return model


def training(modules: tuple[types.ModuleType, ...], weighted: bool) -> dict[str, object]:
    """Return what the small model gives for the first batch, and its first losses, in float32.

    AdamW and its two groups are made as the release's main.py makes them, which cannot be imported on its own.
    """
    tokenizer, models, _, _, losses, utils = modules
    model, encode = small_model(models, weighted).train(), tokenizer.SimpleTokenizer()
    if weighted:
        features = losses.RFFFeaturesGaussian(inputs.EMBEDDING, inputs.FEATURES, 0.5, first_normalize=True, eps=1e-6)
        criterion = losses.CLIP_WPSE_Loss(features, comb_weights=[0.667, 0.333])
    else:
        criterion = losses.CLIPLoss(eps=1e-6)
    exempt = [p.ndim < 2 or "bias" in n or "ln" in n or "bn" in n for n, p in model.named_parameters()]
    groups = [
        {
            "params": [p for p, free in zip(model.parameters(), exempt, strict=True) if free is not decayed],
            "weight_decay": d,
        }
        for decayed, d in ((True, 0.5), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-8)
    rates = utils.cosine_scheduler(5e-4, 1e-5, inputs.EPOCHS, inputs.STEPS_OF_AN_EPOCH, 1, 1e-6)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = {"losses": [], "gradient_norms": [], "rates": [float(rate) for rate in rates]}
    for step in range(inputs.STEPS):
        images, texts = inputs.batch(step)
        if weighted:
            drawn = [torch.from_numpy(x) for x in inputs.frequencies(step)]
            features.sample_fourier_weights = lambda device=None, drawn=drawn: drawn
        outputs = model((torch.from_numpy(images).float() / 255 - mean) / std, encode(texts))
        loss = criterion(outputs)["loss"]
        if step == 0:
            found |= {name: inputs.some(x.detach().numpy()) for name, x in outputs.items() if name != "logit_scale"}
        loss.backward()
        found["losses"].append(float(loss))
        found["gradient_norms"].append(float(nn.utils.get_total_norm([p.grad for p in model.parameters()])))
        for group in optimizer.param_groups:
            group["lr"] = rates[step]
        optimizer.step()
        model.zero_grad(set_to_none=True)
        model.clamp_logit_scale()
    return found | {"logit_scale": float(model.get_logit_scale())}


def digest(indices: list[int] | np.ndarray) -> str:
    """Return the SHA-256 of sorted indices."""
    return hashlib.sha256(np.sort(np.asarray(indices)).astype(np.int64).tobytes()).hexdigest()


def main(output: Path) -> None:
    """Run the release and write what it gives."""
    modules = released()
    tokenizer, models, data, probe, *_ = modules
    ids = tokens(tokenizer)
    document = {
        "commit": inputs.COMMIT,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "tokens": ids,
        "rows_sequel": rows(models, ids, "sequel"),
        "rows_none": rows(models, ids, "none"),
        "search": [search(probe, inputs.curve(seed)) for seed in range(inputs.CURVES)],
        "splits": {name: split(data, size) for name, size in inputs.SPLIT_SIZES.items()}
        | {"caltech101": caltech101(data)},
        "wpse": training(modules, weighted=True),
        "clip": training(modules, weighted=False),
    }
    output.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE)
