"""Planning reads declarations only: neither torch nor what imports it, whatever the experiment
names.
"""

import subprocess
import sys

import pytest
from tiny import ROOT

HEAVY = (
    "torch",
    "torchvision",
    "open_clip",
    "timm",
    "sklearn",
    "scipy",
    "pandas",
    "matplotlib",
    "webdataset",
)

PLAN = f"""
import sys
from kbench.plan.workflow import Workflow
workflow = Workflow(dict(setting.split("=") for setting in sys.argv[1:]))
assert len(workflow.runs) > 1
print(*[name for name in {HEAVY} if name in sys.modules])
"""


def imported(*settings: str, cwd=ROOT) -> list[str]:
    process = subprocess.run(
        [sys.executable, "-c", PLAN, *settings],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return process.stdout.split()


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (ROOT / "workflow/experiments").glob("*.yaml"))
)
def test_planning_imports_no_torch(name):
    # Models have to be imported before they can be planned with; a smoke run has stand-ins.
    smoke = ["smoke=true"] * (name == "released")
    assert imported(f"experiment={name}", *smoke) == []


def test_every_variant_and_objective_is_declared_without_torch():
    code = (
        "import sys\nfrom kbench import objective, similarity, tasks\nfor family in (similarity,"
        " objective, tasks):\n    assert [family.get(name) for name in"
        f" family.names()]\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert process.stdout.split() == []


def test_a_component_that_imports_torch_itself_is_planned_all_the_same(tmp_path):
    folder = tmp_path / "workflow" / "variants"
    folder.mkdir(parents=True)
    (folder / "own.py").write_text(
        "import torch\nfrom kbench.similarity.variants.cosine import Cosine\n\n\n"
        'class Own(Cosine):\n    """Mine."""\n    name = "own"\n    constant = torch.ones(())\n'
    )
    text = (
        (ROOT / "workflow/experiments/world.yaml").read_text().replace("- cosine\n", "- own\n", 1)
    )
    (tmp_path / "own.yaml").write_text(text.replace("reference: cosine", "reference: own"))
    assert "torch" in imported("experiment=own.yaml", cwd=tmp_path)
