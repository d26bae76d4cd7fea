"""The LaTeX report in a real TeX: it compiles, and nothing is cut off at the edge of the page. Left
out where pdflatex is not installed.
"""

import re
import shutil
import subprocess

import pytest
from synthetic import change, write_experiment
from tiny import ROOT

from kbench.report import content, render
from kbench.report.analysis import Analysis
from kbench.results import bundle, store, table

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("pdflatex"), reason="no pdflatex"),
]
SUMMARIES = sorted(path.parent.parent.name for path in ROOT.glob("results/*/summary/bundle.tar.xz"))
SLACK = 5.0
"""Points that a word may stand out into the margin."""


def compile_report(folder, work):
    """Render the results in a folder, compile them, and return what TeX says."""
    loaded = store.load(folder)
    report = content.build(Analysis(loaded, table.frame(loaded)))
    text = render.latex(report, figures=True)
    (work / "report.tex").write_text(text, encoding="utf-8")
    assert render.write_figures(report, work / "figures") > 5
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "report.tex"]
    for _ in range(2):  # references are known the second time
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-1500:]
    assert (work / "report.pdf").stat().st_size > 10_000
    return text, done.stdout.replace("\n", "")


def check(said):
    """Assert that no sign is missing, no reference open, and nothing too wide."""
    assert "Missing character" not in said and "undefined" not in said
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", said)]
    assert max(wide, default=0) < SLACK


@pytest.mark.whole
@pytest.mark.parametrize("name", SUMMARIES)
def test_committed_results_compile(name, tmp_path):
    with bundle.unpack(ROOT / "results" / name / "summary" / "bundle.tar.xz") as folder:
        text, said = compile_report(bundle.Path(folder), tmp_path)
    check(said)
    assert r"\texttt{U+" not in text, "kbench's own words have a sign that LaTeX has not"


@pytest.mark.whole
def test_names_with_signs_that_mean_something_to_tex_compile(tmp_path):
    variants = {"cosine": 2.0, "50 % off_{x}^2 & $more$ #1 ~ \\relax": 1.0}
    folder = write_experiment(tmp_path / "made-up", variants)
    change(
        folder / "experiment.json",
        description="Ünïcode “quotes” — τ ≤ 3 × 10⁻² → ∞, 漢字 \\end{document}",
    )
    check(compile_report(folder, tmp_path)[1])
