"""How kbench differs from a released recipe whatever the settings are: what, why, and the measured
effect.

Where an experiment's own settings differ as well, `kbench check` says so.

Example: kbench differences --markdown
"""

import argparse

from kbench.experiment import differences, recipe


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and the form."""
    parser.add_argument(
        "recipe", nargs="?", default=recipe.DEFAULT, help=f"legal: {', '.join(recipe.names())}"
    )
    parser.add_argument("--markdown", action="store_true", help="print a table, as in the README")


def run(arguments: argparse.Namespace) -> None:
    """Print one line a difference, or the table."""
    chosen = recipe.load(arguments.recipe)
    if arguments.markdown:
        print(differences.markdown(chosen))
        return
    print(f"{arguments.recipe}: {chosen.title}")
    for name, difference in chosen.differences.items():
        print(f"  {name}: {difference.sentence()}")
