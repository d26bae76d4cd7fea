"""Parameters of a variant: typed, bounded, with the source of each default."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kbench.errors import UserError, shown, unknown
from kbench.similarity import estimators

RELEASED = "released code of arXiv 2404.19228"
LARGEST = 1e6
"""Of a share or a width: no number beyond means anything in single precision."""

ASSUMED = "an assumption: not published"


class Settings(BaseModel):
    """Base of every variant's parameters: immutable, unknown keys and non-finite numbers
    refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, variant: str, values: dict[str, Any]) -> Self:
        """Return validated settings; UserError says what was seen and what is legal."""
        for key in values:
            if key not in cls.model_fields:
                raise _no_parameter(variant, key, list(cls.model_fields))
        try:
            return cls(**values)
        except ValidationError as error:
            raise UserError(
                "; ".join(_message(variant, problem) for problem in error.errors())
            ) from error


def _no_parameter(variant: str, key: str, legal: list[str]) -> UserError:
    if not legal:
        return UserError(f"{variant} has no parameters, so '{key}' cannot be set")
    return unknown(f"parameter of {variant}", key, legal)


def _message(variant: str, problem: dict[str, Any]) -> str:
    where = ".".join([variant, *map(str, problem["loc"])])
    text = problem["msg"].removeprefix("Value error, ")
    seen = f" = {shown(problem['input'])}" if problem["loc"] else ""
    return f"{where}{seen}: {text[0].lower()}{text[1:]}"


class WeightSettings(Settings):
    """How the weight of a token comes from a learned linear function of it."""

    activation: Literal["signed", "positive", "uniform"] = Field(
        "signed", description=f"100 tanh(x / 100), 100 tanh(softplus(x) / 100), or 1; {RELEASED}"
    )


class KernelSettings(Settings):
    """Parameters of a1 <v, t> + a2 k(v, t) and of the random features that stand for k."""

    a1: float = Field(
        0.667, ge=0, le=LARGEST, description=f"share of the linear kernel; {RELEASED}"
    )
    a2: float = Field(0.333, ge=0, le=LARGEST, description=f"share of the kernel k; {RELEASED}")
    features: int = Field(
        1024, ge=1, le=1 << 20, description=f"number of random features in training; {RELEASED}"
    )
    estimator: Literal[*estimators.names()] = Field(
        "rff", description=f"random features in training; {RELEASED}"
    )

    @model_validator(mode="after")
    def _something_left(self) -> Self:
        if self.a1 == self.a2 == 0:
            raise ValueError(
                "a1 and a2 are both 0, which leaves no similarity; at least one has to be > 0"
            )
        return self
