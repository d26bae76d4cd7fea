"""Write a static site of several experiments: an index, their reports, a leaderboard, a page for
each similarity and evaluation set, a search, and a feed where an address is given.

What is written opens from a folder, and can be put on any web server as it is. An earlier site in
the same place is replaced as a whole.

Examples:
  kbench site results/demo results/rank/bundle.tar.xz --output site
  kbench site results/demo results/world --output site --title "Kernels" --url https://example.org/kernels
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "results", type=Path, nargs="+", help="results folders, summaries or bundles"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--title", default="Experiments", help="title of the site; default: %(default)s"
    )
    parser.add_argument("--url", help="address of the site's folder, which a feed needs")


def run(arguments: argparse.Namespace) -> None:
    """Write the site, and say what is on it."""
    from kbench.site import pages, render

    experiments = render.read(arguments.results)
    made = pages.build(experiments, arguments.title)
    url = arguments.url and arguments.url.rstrip("/")
    render.write(experiments, made, arguments.output, url)
    print(f"wrote {arguments.output}: {len(experiments)} reports, {len(made)} pages")
    print(f"start: {arguments.output / 'index.html'}")
