"""Planning reads declarations only: neither torch nor what imports it, whatever the experiment
names.
"""

import subprocess
import sys

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
for settings in sys.argv[1:]:
    workflow = Workflow(dict(setting.split("=") for setting in settings.split()))
    assert len(workflow.runs) > 1
    print(*[f"{{settings}}: {{name}}" for name in {HEAVY} if name in sys.modules], sep="\\n")
"""
SHIPPED = sorted(path.stem for path in (ROOT / "workflow/experiments").glob("*.yaml"))


def imported(*experiments: str, cwd=ROOT) -> str:
    """Return what heavy modules planning has imported, after each of the experiments."""
    process = subprocess.run(
        [sys.executable, "-c", PLAN, *experiments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return process.stdout.strip()


def test_planning_imports_no_torch():
    # Models have to be imported before they can be planned with; a smoke run has stand-ins.
    smoke = {"released": " smoke=true"}
    assert imported(*(f"experiment={name}{smoke.get(name, '')}" for name in SHIPPED)) == ""


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
