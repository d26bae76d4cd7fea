"""Importing this module makes `import torchvision` work beside the CPU build of torch.

torchvision's packaged wheel links its compiled operators against CUDA libraries. Beside a CPU build of torch they do
not load, and the import stops at registering shape rules for operators that nobody defined. Declaring the schemas of
those operators is enough for transforms and datasets, which never call them. Nothing is declared where the plain
import works, so this module is a no-op beside the ordinary build.
"""

import sys

import torch

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def _import_torchvision() -> list[torch.library.Library]:
    """Import torchvision, declaring what is missing; returns the declarations, which live as long as their handles."""
    declared = []
    for attempt in range(len(SCHEMAS) + 1):
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = [name for name in SCHEMAS if f"torchvision::{name} does not exist" in str(error)]
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
