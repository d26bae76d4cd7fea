"""Importing this module makes `import torchvision` work beside the CPU build of torch, and `import
open_clip` quick.

torchvision's packaged wheel links its compiled operators against CUDA libraries. Beside a CPU build
of torch they do not load, and the import stops at registering shape rules for operators that nobody
defined. Declaring the schemas of those operators is enough for transforms and datasets, which never
call them. Nothing is declared where the plain import works: beside the ordinary build there is
nothing to declare.

open_clip imports transformers, if it is installed, for text towers of Hugging Face's; that would be
a fifth of the start of every job that makes features. open_clip does without where the import
fails, and gets it afterwards from whoever builds such a tower.
"""

import contextlib
import sys
from collections.abc import Iterator

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

OUTPUTS = (
    "BaseModelOutput",
    "BaseModelOutputWithPooling",
    "BaseModelOutputWithPoolingAndCrossAttentions",
)
"""What open_clip imports of transformers beside its automatic classes."""


def _import_torchvision() -> list[torch.library.Library]:
    """Import torchvision, declaring what is missing; returns the declarations, which live as long
    as their handles.
    """
    declared = []
    for attempt in range(len(SCHEMAS) + 1):
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = [
                name for name in SCHEMAS if f"torchvision::{name} does not exist" in str(error)
            ]
            if not missing or attempt == len(SCHEMAS):
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(SCHEMAS[missing[0]])
            declared.append(library)
            for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
                del sys.modules[name]
        else:
            break
    return declared


DECLARED = _import_torchvision()


def _import_open_clip() -> None:
    """Import open_clip as if transformers were not installed."""
    hide = "transformers" not in sys.modules
    if hide:
        sys.modules["transformers"] = None
    try:
        import open_clip  # noqa: F401
    finally:
        if hide:
            del sys.modules["transformers"]


_import_open_clip()


def give_open_clip_transformers() -> None:
    """Have open_clip find transformers, as if it had been there when open_clip was imported."""
    import transformers
    from open_clip import hf_model

    if hf_model.transformers is None:
        hf_model.transformers = transformers
        for name in ("AutoModel", "AutoTokenizer", "AutoConfig", "PretrainedConfig"):
            setattr(hf_model, name, getattr(transformers, name))
        for name in OUTPUTS:
            setattr(hf_model, name, getattr(transformers.modeling_outputs, name))


@contextlib.contextmanager
def without_hub() -> Iterator[None]:
    """Have Hugging Face's code look into its cache only: a job never asks the network, and never
    waits for one that is not there.
    """
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
