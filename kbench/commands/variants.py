"""List the similarity variants, objectives, kernels and estimators.

Each variant comes with its formula, whether it has explicit features (an inner product that
retrieval and the linear probe can use), what it needs of the towers, the licence of the source's
code, and its parameters: default, legal range, meaning and
source. All of them are set in an experiment file, or with --set in `kbench score`. Those that are
not kbench's own say where they come from: a file in workflow/variants of the working folder, or an
installed package.

Example:
  kbench variants
  kbench variants wpse-gaussian
"""

import argparse

from kbench.commands import listing


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("variant", nargs="?", help="only this variant")


def run(arguments: argparse.Namespace) -> None:
    """Print the listing."""
    from kbench import objective, similarity
    from kbench.similarity import estimators, kernels

    if arguments.variant is not None:
        print("\n".join(_variant(arguments.variant)))
        return
    for name in similarity.names():
        print("\n".join(listing.or_problem(name, _variant)))
    for title, package in (
        ("objectives", objective),
        ("kernels", kernels),
        ("estimators", estimators),
    ):
        print(f"\n{title}:")
        for line in listing.formulas(package.FAMILY):
            print(f"  {line}")


def _variant(name: str) -> list[str]:
    from kbench import similarity

    variant = similarity.create(name)
    features = (
        "no" if not variant.has_features() else "random" if variant.uses_random_features else "yes"
    )
    heading = f"{name:<24} {variant.formula}   [explicit features: {features}; {variant.source}]"
    remark = [f"    note: {variant.remark}"] if variant.remark else []
    properties = variant.Settings.model_json_schema().get("properties", {})
    where = listing.origin(similarity.FAMILY, name)
    return [
        heading,
        *where,
        *listing.terms(similarity.get(name)),
        *remark,
        *(_parameter(key, value) for key, value in properties.items()),
    ]


def _parameter(name: str, schema: dict) -> str:
    default = schema["default"]
    shown = f"{default:.4g}" if isinstance(default, float) else str(default)
    return f"    {name} = {shown}   {listing.legal(schema)}   {schema['description']}"
