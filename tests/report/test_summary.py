"""`kbench summarize`: the small folder that outlives an experiment's results."""

import json
import xml.etree.ElementTree as ElementTree

import pandas
from synthetic import run_name, write_experiment


def test_a_summary_holds_table_report_curves_and_plots(kbench, tmp_path):
    folder = write_experiment(
        tmp_path / "mine", {"cosine": 1.0, "wpse-gaussian": 0.5}, datasets=("world-pairs",)
    )
    log = folder / "runs" / run_name("cosine", 1) / "metrics.jsonl"
    log.write_text(
        "".join(json.dumps({"step": step, "loss": 4.0 / step, "new": 1}) + "\n" for step in (1, 2))
    )
    output = tmp_path / "summary"
    process = kbench("summarize", folder, "--output", output, "--figures", "figure-pmi_gap")
    assert process.returncode == 0, process.stderr
    assert "1 figures" in process.stdout
    assert (output / "report.md").read_text().startswith("# mine")
    assert set(pandas.read_csv(output / "table.csv").variant) == {"cosine", "wpse-gaussian"}
    curves = pandas.read_csv(output / "curves.csv").groupby(["variant", "seed"])
    assert len(curves) == 4
    assert curves.get_group(("cosine", 1))[["step", "loss"]].values.tolist() == [[1, 4.0], [2, 2.0]]
    drawing = (output / "figure-pmi_gap.svg").read_text()
    assert ElementTree.fromstring(drawing).tag.endswith("svg")
    assert "var(" not in drawing and "currentColor" not in drawing
    assert not (output / "jobs.csv").exists()


def test_a_small_summary_has_the_same_table_packed_and_no_bundle(kbench, tmp_path):
    folder = write_experiment(tmp_path / "mine", {"cosine": 1.0}, datasets=("world-pairs",))
    for name, options in (("whole", ()), ("small", ("--small",)), ("again", ("--small",))):
        done = kbench("summarize", folder, "--output", tmp_path / name, *options)
        assert done.returncode == 0, done.stderr
    whole, small = (
        {path.name for path in (tmp_path / name).iterdir()} for name in ("whole", "small")
    )
    assert whole - small == {"table.csv", "bundle.tar.xz"} and small - whole == {"table.csv.gz"}
    packed = tmp_path / "small" / "table.csv.gz"
    pandas.testing.assert_frame_equal(
        pandas.read_csv(packed), pandas.read_csv(tmp_path / "whole" / "table.csv")
    )
    assert packed.read_bytes() == (tmp_path / "again" / "table.csv.gz").read_bytes()


def test_an_unknown_figure_is_refused_before_anything_is_written(kbench, refused, tmp_path):
    folder = write_experiment(tmp_path / "mine", {"cosine": 1.0}, datasets=("world-pairs",))
    process = kbench(
        "summarize", folder, "--output", tmp_path / "summary", "--figures", "figure-gop"
    )
    refused(process, "figure 'figure-gop'")
    assert not (tmp_path / "summary").exists()
