"""Make the numbers again by running the released code: KBENCH_WPSE=CHECKOUT python
tests/oracle/make.py [OUTPUT].

The checkout is of github sony/wpse at commit c6a965d. What of its imports cannot be had without a
GPU, or is not used by what runs here, is replaced by an empty module.
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

KINDS = ("wpse", "imq", "clip")


def released() -> tuple[types.ModuleType, ...]:
    """Return the release's modules that are run here; exits with a message if it is another
    release.
    """
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
        "hydra": [],
        "hydra.utils": ["instantiate"],
        "omegaconf": ["OmegaConf"],
    }.items():
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, None)
        sys.modules[name] = module
    import kbench.towers.compat  # isort: skip  # noqa: F401  # torchvision, which the release imports

    sys.path.insert(0, checkout)
    # kbench's tests have modules of such names nowhere; the release's are found first.
    import dataset_utils
    import eval_zeroshot
    import losses
    import models
    import rapids_linear_probe
    import tokenizer
    import utils

    return tokenizer, models, dataset_utils, rapids_linear_probe, losses, utils, eval_zeroshot


def tokens(tokenizer: types.ModuleType) -> list[list[int]]:
    """Return the token ids of every caption, padding included."""
    encode = tokenizer.SimpleTokenizer()
    return [encode(caption).tolist() for caption in inputs.captions()]


def rows(models: types.ModuleType, ids: list[list[int]], padding: str) -> list[list[int]]:
    """Return which rows of the embedding the text tower looks up: each row here holds its own
    number.
    """
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
    """Return the hash for Caltech-101: 30 images of each of 102 classes, as the probe's script
    splits them again.
    """
    from sklearn.model_selection import train_test_split

    labels = np.repeat(np.arange(102), 30)
    parts = [
        np.array(data.get_random_split(range(len(labels)), name, seed=314).indices)
        for name in ("train", "val")
    ]
    order = np.concatenate(parts)
    _, held, _, _ = train_test_split(
        order, labels[order], stratify=labels[order], test_size=0.1, random_state=42
    )
    return digest(held)


def small_model(models: types.ModuleType, weighted: bool) -> nn.Module:
    """Return the release's WPSE or CLIP model at a small size, with weights that names alone
    decide.
    """
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
        scale = {
            "init": {"type": "scale", "value": 14.285714},
            "activation": models.LogitScaleIdentity(),
        }
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


def criterion(losses: types.ModuleType, kind: str) -> nn.Module:
    """Return the release's criterion: 'wpse' with the Gaussian kernel, 'imq' with the other one, or
    'clip'.
    """
    if kind == "clip":
        return losses.CLIPLoss(eps=1e-6)
    settings = {"first_normalize": True, "eps": 1e-6}
    if kind == "wpse":
        features = losses.RFFFeaturesGaussian(inputs.EMBEDDING, inputs.FEATURES, 0.5, **settings)
    else:
        # Frequencies are given, so that the table they are drawn from is not needed.
        losses.RFFFeaturesIMQ.imq_amplitude_frequency_and_probs = staticmethod(
            lambda dim: (None, None)
        )
        features = losses.RFFFeaturesIMQ(inputs.EMBEDDING, inputs.FEATURES, 0.5, **settings)
    return losses.CLIP_WPSE_Loss(features, comb_weights=[0.667, 0.333])


def give(criterion: nn.Module, step: int, dtype: torch.dtype = torch.float32) -> None:
    """Let the criterion use the frequencies of a step in the place of drawn ones; CLIP's has
    none.
    """
    if hasattr(criterion, "rff_trick"):
        drawn = [torch.from_numpy(x).to(dtype) for x in inputs.frequencies(step)]
        criterion.rff_trick.sample_fourier_weights = lambda device=None: drawn


def isolated(losses: types.ModuleType, kind: str) -> dict[str, object]:
    """Return scores, loss and gradients of given sets in float64; for 'clip', of the first point of
    each.
    """
    found = criterion(losses, kind)
    give(found, 0, torch.float64)
    leaves = {}
    for side in ("image", "text"):
        points, weights = (torch.from_numpy(x) for x in inputs.sets(side))
        leaves[f"{side}_embed"] = (
            (points[:, 0] if kind == "clip" else points).clone().requires_grad_()
        )
        if kind != "clip":
            leaves[f"{side}_weight"] = weights.requires_grad_()
    scores = found.sim_mat(*leaves.values()).detach()
    loss = found(leaves | {"logit_scale": torch.tensor(14.285714, dtype=torch.float64)})["loss"]
    loss.backward()
    gradients = {name: exactly(x.grad) for name, x in leaves.items()}
    return {"scores": scores.tolist(), "loss": float(loss.detach()), "gradients": gradients}


def exactly(tensor: torch.Tensor) -> list[float]:
    """Return a few of a tensor's numbers in full, spread over all of it."""
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // 48)].tolist()


def zeroshot(modules: tuple[types.ModuleType, ...], kind: str) -> dict[str, object]:
    """Return scores (N, C) and predictions of the small model by the release's own zero-shot
    evaluation.
    """
    tokenizer, models, _, _, losses, _, evaluation = modules
    model, found = small_model(models, kind != "clip"), criterion(losses, kind)
    give(found, 0)
    pixels = torch.from_numpy(inputs.images()).permute(0, 3, 1, 2)
    batches = [(normalised(part), torch.zeros(len(part))) for part in pixels.split(9)]
    prompts = [prompt.replace("{c}", "{}") for prompt in inputs.PROMPTS]
    encode = tokenizer.SimpleTokenizer()
    scores, _ = evaluation.validate_zeroshot(
        batches, prompts, inputs.CLASS_NAMES, model, found, encode, None, "cpu"
    )
    return {"scores": scores.double().tolist(), "predictions": scores.argmax(1).tolist()}


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images (B, 3, S, S) as the towers take them."""
    mean, std = (
        torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    return (images.float() / 255 - mean) / std


def clamped(models: types.ModuleType) -> dict[str, list[float]]:
    """Return the multiplier after clamping, from each value of its parameter."""
    kinds = {
        "log": small_model(models, weighted=False),
        "plain": small_model(models, weighted=True),
    }
    found = {}
    for kind, model in kinds.items():
        found[kind] = []
        for value in inputs.OUT_OF_BOUNDS[kind]:
            model.logit_scale.data.fill_(value)
            model.clamp_logit_scale()
            found[kind].append(float(model.get_logit_scale().detach()))
    return found


def radial(losses: types.ModuleType) -> list[float]:
    """Return the distribution function of the table that frequencies of the inverse multiquadric
    kernel come from.
    """
    sums: dict[int, object] = {}
    # The release adds up the same 10,000 numbers for each of them.
    losses.sum = lambda numbers: sums.setdefault(len(numbers), sum(numbers))
    radii, probabilities = losses.RFFFeaturesIMQ.imq_amplitude_frequency_and_probs(512)
    return [float(probabilities[radii <= radius].sum()) for radius in inputs.RADII]


def training(modules: tuple[types.ModuleType, ...], kind: str) -> dict[str, object]:
    """Return what the small model gives for the first batch, and its first losses, in float32.

    AdamW and its two groups are made as the release's main.py makes them, which cannot be imported
    on its own.
    """
    tokenizer, models, _, _, losses, utils, _ = modules
    model, encode = small_model(models, kind != "clip").train(), tokenizer.SimpleTokenizer()
    chosen = criterion(losses, kind)
    exempt = [
        p.ndim < 2 or "bias" in n or "ln" in n or "bn" in n for n, p in model.named_parameters()
    ]
    groups = [
        {
            "params": [
                p for p, free in zip(model.parameters(), exempt, strict=True) if free is not decayed
            ],
            "weight_decay": d,
        }
        for decayed, d in ((True, 0.5), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), eps=1e-8)
    rates = utils.cosine_scheduler(5e-4, 1e-5, inputs.EPOCHS, inputs.STEPS_OF_AN_EPOCH, 1, 1e-6)
    found = {"losses": [], "gradient_norms": [], "rates": [float(rate) for rate in rates]}
    for step in range(inputs.STEPS):
        images, texts = inputs.batch(step)
        give(chosen, step)
        outputs = model(normalised(torch.from_numpy(images)), encode(texts))
        loss = chosen(outputs)["loss"]
        if step == 0:
            found |= {
                name: inputs.some(x.detach().numpy())
                for name, x in outputs.items()
                if name != "logit_scale"
            }
        loss.backward()
        found["losses"].append(float(loss))
        found["gradient_norms"].append(
            float(nn.utils.get_total_norm([p.grad for p in model.parameters()]))
        )
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
    tokenizer, models, data, probe, losses, *_ = modules
    ids = tokens(tokenizer)
    document = {
        "commit": inputs.COMMIT,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "tokens": ids,
        "rows_sequel": rows(models, ids, "sequel"),
        "rows_none": rows(models, ids, "none"),
        "search": [search(probe, inputs.curve(seed)) for seed in range(inputs.CURVES)],
        "splits": (
            {name: split(data, size) for name, size in inputs.SPLIT_SIZES.items()}
            | {"caltech101": caltech101(data)}
        ),
        "radial": radial(losses),
        "clamped": clamped(models),
        "isolated": {kind: isolated(losses, kind) for kind in KINDS},
        "zeroshot": {kind: zeroshot(modules, kind) for kind in KINDS},
        **{kind: training(modules, kind) for kind in KINDS},
    }
    output.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE)
