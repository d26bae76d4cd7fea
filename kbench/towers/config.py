"""Tower configurations: open_clip model JSON files, kbench's own or open_clip's."""

import importlib.util
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from kbench.errors import UserError, unknown
from kbench.records import strict_json
from kbench.records.section import Section

OWN = Path(__file__).parent / "configs"

ADDED = Path("workflow/towers")
"""Where a user's own configurations are looked for, relative to the working folder."""

OF_THE_SIMILARITY = ("init_logit_scale", "init_logit_bias", "nonscalar_logit_scale")
"""Keys of open_clip's files that kbench passes over: scale and bias belong to the similarity and
the objective.
"""


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Three = tuple[float, float, float]
Above0 = Annotated[float, Field(gt=0, le=1)]


class Preprocessing(Section):
    """What is made of an image in evaluation before a tower sees it, in open_clip's terms; mean and
    sd in training too. The defaults are those of the released WPSE code.
    """

    mean: Three = Field(default=IMAGENET_MEAN, description="of RGB in [0, 1], subtracted")
    std: tuple[Above0, Above0, Above0] = Field(
        default=IMAGENET_STD, description="of RGB in [0, 1], divided by"
    )
    interpolation: Literal["bicubic", "bilinear"] = Field(
        default="bicubic", description="how images are resized"
    )
    resize_mode: Literal["shortest", "longest", "squash"] = Field(
        default="shortest",
        description=(
            "shortest: the short side, then the centre is cut; longest: the long side, then the"
            " rest is filled; squash: both sides, whatever the shape"
        ),
    )
    fill_color: int = Field(
        default=0, ge=0, le=255, description="what fills the rest with 'longest'"
    )


class TowerConfig(Section):
    """An open_clip model configuration, plus what kbench adds to it."""

    name: str = Field(description="name of the configuration file, without its suffix")
    embed_dim: int = Field(gt=0, description="dimension d of the shared embedding")
    vision_cfg: dict[str, Any] = Field(description="open_clip's CLIPVisionCfg")
    text_cfg: dict[str, Any] = Field(
        description="open_clip's CLIPTextCfg; vocab_size follows from words if given"
    )
    quick_gelu: bool = Field(
        default=False, description="use x * sigmoid(1.702 x) in open_clip's own blocks"
    )
    custom_text: bool = Field(
        default=True, description="open_clip's key; kbench always keeps the towers apart"
    )
    words: tuple[str, ...] | None = Field(
        default=None,
        description=(
            "restrict the vocabulary to the byte pairs of these words and one row for the rest"
        ),
    )
    backbone: str | None = Field(
        default=None,
        description="the image tower's name in published tables; null: the configuration's name",
    )
    layer_norm_eps: float | None = Field(
        default=None,
        gt=0,
        description="eps of every LayerNorm of both towers; null: what the libraries build with",
    )
    padding_embeddings: Literal["shared", "counted"] = Field(
        default="shared",
        description=(
            "counted: the n-th id 0 of a text has row V + n - 1 of the embedding, V being the size"
            " of the vocabulary, as in the released WPSE code; shared: all have row 0"
        ),
    )
    long_captions: Literal["keep-end", "cut"] = Field(
        default="keep-end",
        description=(
            "a caption over the context ends with the end of text (open_clip), or is cut, as the"
            " released WPSE code does, which then pools the start of text"
        ),
    )
    preprocessing: Preprocessing = Preprocessing()
    released_projection: bool = Field(
        default=False,
        description=(
            "draw a timm trunk's projection from N(0, 1/width), as the released WPSE code does"
        ),
    )

    @property
    def image_size(self) -> int:
        """Side of the square input image, pixels."""
        size = self.vision_cfg["image_size"]
        return size if isinstance(size, int) else size[0]

    @property
    def context_length(self) -> int:
        """Number of text tokens, padding included."""
        return self.text_cfg.get("context_length", 77)


def names() -> list[str]:
    """Return the names of kbench's own tower configurations and of the user's."""
    return sorted(path.stem for folder in (OWN, ADDED) for path in folder.glob("*.json"))


def load(name: str, changes: dict[str, Any] | None = None) -> TowerConfig:
    """Read a tower configuration: a path to a JSON file, or the name of one of kbench's,
    open_clip's or the user's.

    `changes` replaces some of its keys. Raises UserError for an unknown name or key, a name that
    two of them have, or a file that is not an open_clip model configuration.
    """
    path = _find(name)
    try:
        values = strict_json.parse(path.read_text(encoding="utf-8"))
        own = {key: values[key] for key in values if key not in OF_THE_SIMILARITY}
        return TowerConfig(**{"name": path.stem, **own} | (changes or {}))
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{path} is not a tower configuration: {place}: {problem['msg']}"
        ) from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is not a tower configuration: {error}") from error


def _find(name: str) -> Path:
    if name.endswith(".json") and Path(name).exists():
        return Path(name)
    paths = [
        path
        for folder in (OWN, _open_clip_folder(), ADDED)
        if (path := folder / f"{name}.json").exists()
    ]
    if not paths:
        raise unknown(
            "tower configuration",
            name,
            names() + [file.stem for file in _open_clip_folder().glob("*.json")],
        )
    if paths[-1].parent == ADDED and len(paths) > 1:
        raise UserError(
            f"{paths[-1]} names a tower configuration that there is already: give it another name"
        )
    return paths[0]


def _open_clip_folder() -> Path:
    # find_spec does not import open_clip, which takes seconds.
    return Path(importlib.util.find_spec("open_clip").origin).parent / "model_configs"
