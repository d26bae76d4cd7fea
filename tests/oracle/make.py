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
    """Return the release's modules for tokens, models, data and the probe; exits with a message if it is another."""
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
    import models
    import rapids_linear_probe
    import tokenizer

    return tokenizer, models, dataset_utils, rapids_linear_probe


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


def digest(indices: list[int] | np.ndarray) -> str:
    """Return the SHA-256 of sorted indices."""
    return hashlib.sha256(np.sort(np.asarray(indices)).astype(np.int64).tobytes()).hexdigest()


def main(output: Path) -> None:
    """Run the release and write what it gives."""
    tokenizer, models, data, probe = released()
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
    }
    output.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURE)
