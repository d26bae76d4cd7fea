"""Importing this module makes `import torchvision` work beside the CPU build of torch, and `import
open_clip` quick.

torchvision's packaged wheel links its compiled operators against CUDA libraries. Beside a CPU build
of torch they do not load, and the import stops at registering shape rules for operators that nobody
defined. Declaring the schemas of those operators is enough for transforms and datasets, which never
call them. Nothing is declared where the plain import works: beside the ordinary build there is
nothing to declare.

torchvision and timm ask for torch's compiler as they are imported, which would be a third of the
start of every job that makes features, to decorate what kbench does not call. They get torch's own
decorator that imports the compiler with the first call.

open_clip imports transformers, if it is installed, for text towers of Hugging Face's; that would be
a fifth of the start of every job that makes features. open_clip does without where the import
fails, and gets it afterwards from whoever builds such a tower.
"""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType

import torch
import torch._compile

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


COMPILER = "torch._dynamo.utils"


@contextlib.contextmanager
def _compiler_left_for_later() -> Iterator[None]:
    """Keep what is imported meanwhile from importing the compiler, unless that is there already."""
    if COMPILER in sys.modules:
        yield
        return
    sys.modules[COMPILER] = stand_in = ModuleType(COMPILER)
    stand_in.is_compile_supported = _is_compile_supported
    disable, torch.compiler.disable = torch.compiler.disable, torch._compile._disable_dynamo
    try:
        yield
    finally:
        torch.compiler.disable = disable
        del sys.modules[COMPILER]


def _is_compile_supported(device_type: str) -> bool:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device_type)


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


with _compiler_left_for_later():
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


with _compiler_left_for_later():
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
