"""What the site shows and no page of docs/ says: README.md as its first page, and the reference,
from the code that it describes. mkdocs calls it as a hook (mkdocs.yml).
"""

from __future__ import annotations

import inspect
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from kbench import objective, similarity, tasks
from kbench.commands import COMMANDS, listing, parsers
from kbench.commands.listing import legal
from kbench.experiment.schema import Experiment
from kbench.results import written

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(!?)\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the pictures of README.md."""
    readme = (ROOT / "README.md").read_text()
    made = {
        "index.md": readme,
        "reference/commands.md": commands(),
        "reference/experiment.md": experiment(),
        "reference/similarities.md": "\n\n".join(similarities()) + "\n",
        "reference/objectives.md": "\n\n".join(objectives()) + "\n",
        "reference/tasks.md": "\n\n".join(of_tasks()) + "\n",
        "reference/documents.md": f"# Documents of results\n\n{written.markdown()}",
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    for picture, _, path, _ in LINK.findall(readme):
        if picture:
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository that are no pages into their paths."""
    source = page.file.src_uri
    folder = "" if source == "index.md" else f"docs/{posixpath.dirname(source)}"

    def resolved(match: re.Match[str]) -> str:
        picture, text, target, _ = match.groups()
        path = posixpath.normpath(posixpath.join(folder, target))
        if picture or (path.startswith("docs/") and path.endswith(".md")):
            return match[0] if folder else match[0].replace("](docs/", "](")
        if not (ROOT / path).exists():
            raise FileNotFoundError(f"{source} links to {target}, which is not there")
        return f"`{path}`" if text == path else f"{text} (`{path}`)"

    return LINK.sub(resolved, markdown)


def commands() -> str:
    """Return what each command says of itself."""
    lines = ["# Commands"]
    for name in COMMANDS:
        lines += [f"## kbench {name}", "```text\n" + parsers.parser(name).format_help() + "```"]
    return "\n\n".join(lines) + "\n"


def experiment() -> str:
    """Return every key of an experiment file: what is legal, its default, what it means."""
    schema = Experiment.model_json_schema()
    sections = {"The file": schema, **schema["$defs"]}
    lines = ["# Experiment files"]
    for name, section in sections.items():
        if "properties" in section:
            lines += [f"## {name}", " ".join(section.get("description", "").split())]
            lines.append("\n".join(_table(section)))
    return "\n\n".join(lines) + "\n"


def _table(section: dict) -> Iterator[str]:
    yield "| key | legal | default | meaning |\n|---|---|---|---|"
    needed = section.get("required", [])
    for key, schema in section["properties"].items():
        written_out = str(schema.get("default")).replace("None", "null")
        default = "needed" if key in needed else f"`{written_out}`"
        cells = (f"`{key}`", _legal(schema), default, schema.get("description", ""))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _legal(schema: dict) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_legal(one) for one in schema[several])
    if "items" in schema:
        return f"list of {_legal(schema['items'])}"
    kind = {"object": "mapping", "array": "list"}.get(schema.get("type"), schema.get("type", ""))
    return legal(schema) or kind


def similarities() -> Iterator[str]:
    """Yield the similarities: formula, source, parameters."""
    yield "# Similarities"
    for name in similarity.names():
        variant = similarity.get(name)
        yield from _described(variant)
        if variant.remark:
            yield variant.remark
        settings = variant.Settings.model_json_schema()
        if settings.get("properties"):
            yield "\n".join(_table(settings))


def objectives() -> Iterator[str]:
    """Yield the objectives: formula, source, the similarities that each refuses and why."""
    yield "# Objectives"
    for name in objective.names():
        criterion = objective.get(name)
        yield from _described(criterion)
        refused = {other: criterion.refuse(similarity.get(other)) for other in similarity.names()}
        lines = [f"- {reason}" for reason in refused.values() if reason]
        if lines:
            yield "Refused, with the reason:\n\n" + "\n".join(lines)


def _described(component: type) -> Iterator[str]:
    yield f"## {component.name}"
    yield f"    {component.formula}"
    yield f"Source: {component.source}"
    if terms := [line.strip() for line in listing.terms(component)]:
        yield f"{'; '.join(terms)}."
    yield inspect.getdoc(component) or ""


def of_tasks() -> Iterator[str]:
    """Yield the tasks: what they measure, in which unit, which direction is better."""
    yield "# Tasks"
    for name in tasks.ordered(tasks.usable()):
        task = tasks.get(name)
        yield f"## {name}"
        yield inspect.getdoc(task) or ""
        lines = ["| metric | in tables | unit | better |", "|---|---|---|---|"]
        for measure in task.metrics:
            better = "higher" if measure.higher_is_better else "lower"
            lines.append(f"| `{measure.name}` | {measure.title} | {measure.unit} | {better} |")
        yield "\n".join(lines)
