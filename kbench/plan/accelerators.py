"""What is known of accelerators that nobody has measured an experiment on."""

from pathlib import Path

from pydantic import Field

from kbench import yaml_file
from kbench.errors import unknown
from kbench.records.section import Section

FILE = Path(__file__).parent / "accelerators.yaml"

UTILISATION = 0.35
"""Share of the peak that a training is taken to reach, where nobody says another: an assumption."""


class Accelerator(Section):
    """One kind of accelerator."""

    name: str
    teraflops: float = Field(gt=0, description="dense peak of 16-bit matrix products, TFLOP/s")
    memory_gb: float = Field(gt=0, description="memory, GB")
    source: str = Field(description="where the figures are from")


def names() -> list[str]:
    """Return the names of all that are known."""
    return sorted(yaml_file.read(FILE))


def get(name: str) -> Accelerator:
    """Return one by its name; UserError with the nearest match for an unknown one."""
    known = yaml_file.read(FILE)
    if name not in known:
        raise unknown("accelerator", name, known)
    return Accelerator(name=name, **known[name])
