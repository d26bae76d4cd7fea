"""List the packages that kbench runs with: of this environment, of a lock file, or of an image.

With --sbom they are written as a bill of materials (CycloneDX), with --advisories compared with a
list of known vulnerabilities, OSV's export for PyPI, which is on
https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip and has to be fetched first.

Examples:
  kbench packages --lock requirements.lock --advisories all.zip
  kbench packages --image containers --sbom sbom.json
  kbench container run packages
"""

import argparse
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add whose packages, and what becomes of them."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--lock", type=Path, metavar="FILE", help="those of a lock file")
    whose.add_argument(
        "--image", type=Path, metavar="FOLDER", help="those of the image with this container.json"
    )
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write them as CycloneDX 1.5")
    parser.add_argument(
        "--advisories", type=Path, metavar="LIST", help="OSV's all.zip, or a folder of its records"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print them, or what the list says of them; returns 1 if it says anything."""
    from kbench import files
    from kbench.container import record
    from kbench.doctor import advisories, packages

    base = None
    if arguments.lock:
        subject, listed = arguments.lock.name, packages.locked(arguments.lock)
    elif arguments.image:
        container = record.read(arguments.image)
        subject, listed = f"kbench image {container.code_version}", packages.of_image(container)
        base = packages.base_of(container)
        print(f"base: {base}")
    else:
        subject, listed = "kbench environment", packages.installed()
    if arguments.sbom:
        files.write_json(arguments.sbom, packages.bill_of_materials(listed, subject, base))
        print(f"wrote {arguments.sbom}: {len(listed)} packages")
    if arguments.advisories:
        said, records = advisories.check(listed, arguments.advisories)
        print("\n".join(map(str, said)))
        of_python = sum(package.kind == "pypi" for package in listed)
        print(f"{len(said)} findings for {of_python} Python packages in {records:,} advisories")
        return int(bool(said))
    if not arguments.sbom:
        print("\n".join(f"{package.name:<32} {package.version}" for package in listed))
    return 0
