"""Import a model that was trained elsewhere, so that experiments can name it under `models:`.

SOURCE is a folder in open_clip's form (FOLDER or local-dir:FOLDER), one on Hugging Face's hub
(hf-hub:OWNER/NAME), a model of open_clip's list (ARCHITECTURE/TAG), a file of weights with
--architecture, or the folder of a finished run. What is not on this machine is downloaded here and
now, never by a job. Of the file nothing but tensors is read.

Examples:
  kbench model import ViT-B-32/laion2b_s34b_b79k --as vit-b-32-laion2b --data laion2b
  kbench model import local-dir:exported --as mine --licence MIT
  kbench model import weights.pt --architecture ViT-B-16 --as mine
  kbench model import ViT-B-16/openai --as openai-filip --similarity filip
"""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the source, the name, and what is declared of the model."""
    parser.add_argument("source", metavar="SOURCE", help="where the model is")
    parser.add_argument("--as", dest="name", required=True, help="name in experiments and tables")
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="of a file of weights: a name of open_clip's, or a JSON file in its form",
    )
    parser.add_argument(
        "--similarity",
        metavar="NAME",
        help="compare with this one, which must learn no weights; default: as it was trained",
    )
    parser.add_argument("--licence", help="of the weights, as declared by whoever gives them away")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="NAME",
        help="what the model was trained on, as declared; may be given several times",
    )
    parser.add_argument("--sha256", help="what the file of weights must have")


def run(arguments: argparse.Namespace) -> None:
    """Import, and say what there is now."""
    from kbench.models import importing, library

    config = importing.import_model(
        arguments.name,
        arguments.source,
        arguments.architecture,
        arguments.similarity,
        arguments.licence,
        tuple(arguments.data),
        arguments.sha256,
    )
    origin, towers = library.origin(arguments.name), config.towers
    print(f"imported {arguments.source} as {arguments.name}: {library.MODELS / arguments.name}")
    print(
        f"  towers      images of {towers.image_size} pixels, {towers.context_length} text tokens"
    )
    print(f"  scored by   {config.similarity}, trained with {config.objective}")
    print(f"  weights     {origin.file}, SHA-256 {origin.file_sha256}")
    print(f"  licence     {origin.licence or 'not declared'}")
    print(f"  trained on  {config.corpus_name}")
