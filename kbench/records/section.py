"""The base of all sections of an experiment file, and what is said of one that is wrong."""

import difflib
import typing
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from kbench.errors import shown


class Section(BaseModel):
    """Base of all sections: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first problem of a validation error in one line, with the nearest legal key for an
    unknown one.
    """
    # An unknown key often explains a missing one, so it is named first.
    problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        seen = "" if problem["type"] == "missing" else f" (seen: {shown(problem['input'])})"
        return f"{place or 'the file'}: {problem['msg']}{seen}"
    legal = sorted(_keys(model, problem["loc"][:-1]))
    near = difflib.get_close_matches(str(problem["loc"][-1]), legal, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown key {shown(place)}{hint} Legal: {', '.join(legal)}"


def _keys(model: type[BaseModel], place: tuple[str | int, ...]) -> set[str]:
    """Return the legal keys of the section at a place of the file."""
    sections: list[Any] = [model]
    for part in place:
        inner = [
            s.model_fields[part].annotation
            for s in sections
            if _is_model(s) and part in s.model_fields
        ]
        # A list index or the tag of a union stays at the same sections.
        sections = (
            [leaf for annotation in inner for leaf in _leaves(annotation)]
            if inner
            else _tagged(sections, part)
        )
    models = (section for section in sections if _is_model(section))
    return {key for model in models for key in model.model_fields}


def _tagged(sections: list[Any], tag: str | int) -> list[Any]:
    chosen = [
        s
        for s in sections
        if "kind" in s.model_fields and tag in typing.get_args(s.model_fields["kind"].annotation)
    ]
    return chosen or sections


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _leaves(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that occur in a type such as `tuple[Variant, ...]` or `Crop | None`."""
    if _is_model(annotation):
        return [annotation]
    return [leaf for part in typing.get_args(annotation) for leaf in _leaves(part)]
