"""From a context to an image, a SIF and container.json."""

import time
from pathlib import Path

from kbench import __version__, files, provenance
from kbench.container import apptainer, engine, record, wheelhouse
from kbench.container.checkout import Checkout
from kbench.container.context import Context


def build(
    checkout: Checkout, context: Context, target: str, builder: str, sif: Path, started: float
) -> Path:
    """Build with 'docker' or 'apptainer' and return the path of container.json, which lies beside
    the SIF.

    Docker's image becomes a SIF too if Apptainer is present. `started` is time.monotonic() of when
    the work began.
    """
    image = _docker(context, target, sif) if builder == "docker" else {}
    if builder == "apptainer":
        apptainer.build(context, checkout.definition, sif)
    container = record.Container(
        **{"image": None, "digest": None, "bytes": None, "base_id": None} | image,
        target=target,
        engine=builder,
        base=context.base,
        code_version=provenance.code_version(),
        revision=context.revision,
        packages=wheelhouse.packages(context.wheels),
        wheels=context.wheels,
        seconds=round(time.monotonic() - started, 1),
        sif=_sif(sif) if apptainer.program() else None,
    )
    return record.write(sif.parent, container)


def _docker(context: Context, target: str, sif: Path) -> dict:
    tag = f"kbench:{__version__}-{target}"
    with engine.session() as client:
        identity = engine.build(client, context, target, tag)
        if apptainer.program():
            apptainer.convert(tag, sif)
        else:
            print("Apptainer is not on the PATH: no SIF was made")
        return {
            "image": identity,
            "digest": engine.digest(client, identity),
            "bytes": engine.find(client, identity).attrs["Size"],
            "base_id": engine.find(client, context.base).id,
        }


def _sif(path: Path) -> record.Sif:
    return record.Sif(path=path.name, sha256=files.sha256(path), bytes=path.stat().st_size)
