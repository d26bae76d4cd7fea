"""What changes the identity of a result and what does not: edits of a copy of the package, which is
never imported.
"""

import re
import shutil
import subprocess
import sys

import pytest
from tiny import ROOT

from kbench.experiment.schema import Evaluation, RunConfig, Training
from kbench.identity.stages import Stages
from kbench.towers import config as towers

EVALUATION = Evaluation(datasets=("world-shape",))
TASKS = ("zeroshot", "linear_probe", "retrieval", "pmi_gap")


def run_config(similarity="wpse-gaussian", objective="infonce", training=None, **settings):
    return RunConfig.model_validate(
        {
            "variant": similarity,
            "similarity": similarity,
            "similarity_settings": {"estimator": "rff"} | settings,
            "objective": objective,
            "seed": 0,
            "corpus": {"kind": "world"},
            "towers": towers.load("demo").model_dump(),
            "training": {"batch_size": 32, "epochs": 1, "warmup_epochs": 0.25} | (training or {}),
        }
    )


@pytest.fixture
def package(tmp_path_factory):
    """A copy of the package's Python files, made anew in one place: with the times of the originals,
    so that what no test edits is parsed once.
    """
    folder = tmp_path_factory.getbasetemp() / "edited" / "kbench"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        ROOT / "kbench", folder, ignore=lambda _, names: [n for n in names if n == "__pycache__"]
    )
    return folder


def identities(package, config=None, evaluation=EVALUATION):
    """Return the identity of every stage as the copied package has it."""
    stages, config = Stages(package), config or run_config()
    tasks = {task: stages.task(config, evaluation, task).hash for task in TASKS}
    return {
        "training": stages.training(config).hash,
        "features": stages.features(config, evaluation).hash,
        **tasks,
    }


UNEDITED = {}
"""The identities of the package as it is, by the hash of a configuration."""


def changed(package, edit, config=None):
    """Return the stages whose identity an edit changes. (That of a copy is that of the original.)"""
    config = config or run_config()
    if config.hash not in UNEDITED:
        UNEDITED[config.hash] = identities(ROOT / "kbench", config)
    before = UNEDITED[config.hash]
    edit(package)
    after = identities(package, config)
    return {stage for stage in before if before[stage] != after[stage]}


def replace(path, old, new):
    """Return an edit of a file, which must hold what is replaced."""

    def edit(package):
        text = (package / path).read_text()
        assert re.search(old, text), f"{path} no longer holds {old!r}"
        (package / path).write_text(re.sub(old, new, text, count=1))

    return edit


def add(path, text):
    def edit(package):
        (package / path).write_text(text)

    return edit


def append(path, text):
    def edit(package):
        with (package / path).open("a") as stream:
            stream.write(text)

    return edit


def remove(path):
    return lambda package: (package / path).unlink()


VARIANT = (ROOT / "examples" / "wpse_laplace.py").read_text()
WORD = '"""What nobody computes."""\n'

HARMLESS = {
    "another variant is added": add("similarity/variants/wpse_laplace.py", VARIANT),
    "another variant is edited": replace(
        "similarity/variants/filip.py", r"best > -torch\.inf", "best >= 0"
    ),
    "another variant is removed": remove("similarity/variants/hyperbolic.py"),
    "another kernel is added": add("similarity/kernels/cauchy.py", WORD),
    "a kernel that is not used is edited": replace(
        "similarity/kernels/imq.py", r"self\.length\*\*2", "self.length"
    ),
    "an estimator that is not used is edited": replace(
        "similarity/estimators/paired.py", "number, cls", "2, cls"
    ),
    "another objective is added": add("objective/margin.py", WORD),
    "another objective is edited": replace("objective/sigmoid.py", r"-10\.0", "-9.0"),
    "another kind of corpus is edited": replace(
        "corpus/kinds/labelled.py", r"kind: Literal\[", "kind:Literal['x',"
    ),
    "another kind of corpus is added": add("corpus/kinds/parquet.py", WORD),
    "another task is added": add("tasks/segmentation.py", WORD),
    "a report is edited": replace("report/content.py", "@dataclass", "@dataclass()"),
    "statistics are edited": replace("results/pairs.py", r"len\(values\) - 1", "len(values)"),
    "a command is edited": append("commands/compare.py", "\nX = 1\n"),
    "a scheduler's request is edited": append("slurm/request.py", "\nX = 1\n"),
    "the docstring of a module is edited": replace("seeds.py", "Seeds derived", "Seeds, derived"),
    "the docstring of a function is edited": replace(
        "seeds.py", "Return a 63-bit seed", "Return 63 bits"
    ),
    "a docstring is removed": replace(
        "similarity/scale.py", r'        """Return the multiplier, a scalar\."""\n', ""
    ),
    "the docstring of a constant is edited": replace(
        "pretrain/loop.py", '"""Steps between', '"""The steps between'
    ),
    "a comment is added": append("seeds.py", "# A word.\n"),
    "lines are wrapped": replace(
        "seeds.py", r"def derive\(\*axes: str \| int\)", "def derive(\n    *axes: str | int,\n)"
    ),
    "quotes are changed": replace("seeds.py", r'"\\x1f"', r"'\\x1f'"),
    "the description of a field is edited": replace(
        "similarity/settings.py", "share of the linear", "part of the"
    ),
    "a new version is released": replace("__init__.py", r"\d+\.\d+\.\d+", "9.9.9"),
    "a new file is added": add("similarity/plots.py", WORD),
    "a message of progress is edited": append("progress.py", "\nX = 1\n"),
    "the schema of results gains a key": append("results/schema.py", "\nX = 1\n"),
}


@pytest.mark.parametrize("what", HARMLESS)
def test_no_identity_changes_when(package, what):
    assert changed(package, HARMLESS[what]) == set()


ALL = {"training", "features", *TASKS}
EVALUATED = ALL - {"training"}

HARMFUL = {
    "random numbers are derived otherwise": (
        replace("seeds.py", ">> 1", ">> 2"),
        {"training", "features"},
    ),
    "a seed names another axis": (
        replace("pretrain/trainer.py", '"random features"', '"features"'),
        {"training"},
    ),
    "the variant itself": (
        replace("similarity/variants/wpse_gaussian.py", r"0\.5, gt=0", "0.4, gt=0"),
        ALL,
    ),
    "its base": (replace("similarity/weighted.py", "alpha=-2", "alpha=-1"), ALL),
    "its kernel": (replace("similarity/kernels/gaussian.py", "-2", "-3"), ALL),
    "its estimator": (replace("similarity/estimators/rff.py", r"2 \* math\.pi", "math.pi"), ALL),
    "the estimator of evaluation": (
        replace("similarity/estimators/orthogonal.py", r"\.sign\(\)", ""),
        EVALUATED,
    ),
    "which estimator evaluates": (
        replace("similarity/__init__.py", '"orthogonal"', '"paired"'),
        ALL,
    ),
    "the objective": (replace("objective/infonce.py", "/ 2", "/ 3"), ALL),
    "the towers": (append("towers/model.py", "\nX = 1\n"), {"training", "features"}),
    "the schedule": (append("pretrain/optimizer.py", "\nX = 1\n"), {"training"}),
    "when a loss is logged": (
        replace("pretrain/loop.py", "LOG_EVERY = 50", "LOG_EVERY = 51"),
        {"training"},
    ),
    "the augmentation": (append("corpus/crop.py", "\nX = 1\n"), {"training"}),
    "the size of evaluation images": (append("datasets/transform.py", "\nX = 1\n"), {"features"}),
    "what is held out for the probe": (append("measures/splits.py", "\nX = 1\n"), {"linear_probe"}),
    "where the probe's solver stops": (
        append("measures/stopping.py", "\nX = 1\n"),
        {"linear_probe"},
    ),
    "the kind of corpus": (
        replace("corpus/kinds/world.py", "default=20000", "default=20001"),
        {"training"},
    ),
    "how shards are read": (append("corpus/shards.py", "\nX = 1\n"), {"training", "features"}),
    "the normalisation of images": (
        replace("towers/config.py", r"0\.485", "0.5"),
        {"training", "features"},
    ),
    "how prompts are read": (append("datasets/texts.py", "\nX = 1\n"), {"features"}),
    "how prompts are filled in": (
        replace("evaluate/features.py", r'"\{c\}"', '"{d}"'),
        {"features"},
    ),
    "the accuracy": (append("measures/accuracy.py", "\nX = 1\n"), {"zeroshot", "linear_probe"}),
    "the ranks of retrieval": (append("measures/ranks.py", "\nX = 1\n"), {"retrieval"}),
    "the probe's solver": (append("measures/lbfgs.py", "\nX = 1\n"), {"linear_probe"}),
    "the exact mutual information": (append("world/pmi.py", "\nX = 1\n"), {"pmi_gap"}),
    "the loss that PMI is judged by": (replace("tasks/pmi_gap.py", "= 256", "= 128"), {"pmi_gap"}),
    "how draws are averaged": (replace("tasks/base.py", "ddof=1", "ddof=0"), set(TASKS)),
}


@pytest.mark.parametrize("what", HARMFUL)
def test_exactly_the_stages_that_use_it_change_when_this_is_edited(package, what):
    edit, stages = HARMFUL[what]
    assert changed(package, edit) == stages


def test_a_component_that_code_names_counts_where_it_is_named(package):
    edit = replace("objective/infonce.py", "/ 2", "/ 3")
    config = run_config(objective="sigmoid")
    assert changed(package, edit, config) == {"pmi_gap"}


def test_a_variant_that_builds_on_another_one_changes_with_it(package):
    edit = replace("similarity/variants/wpse_gaussian.py", r"0\.5, gt=0", "0.4, gt=0")
    assert changed(package, edit, run_config("wpse-gaussian-only")) == ALL


@pytest.mark.parametrize("kernel, stages", [("imq", ALL), ("gaussian", set())])
def test_a_kernel_counts_where_a_setting_names_it(package, kernel, stages):
    edit = replace("similarity/kernels/imq.py", r"self\.length\*\*2", "self.length")
    assert changed(package, edit, run_config("kernel-pooled", kernel=kernel)) == stages


@pytest.mark.parametrize("rule, stages", [("test-column", ALL), ("last", EVALUATED)])
def test_what_reads_evaluation_sets_belongs_to_training_only_if_it_selects_by_one(
    package, rule, stages
):
    selected = {"selection": rule, "test_column": "world-shape" if rule == "test-column" else None}
    edit = append("datasets/dataset.py", "\nX = 1\n")
    assert changed(package, edit, run_config(training=selected)) == stages


def test_an_edit_is_seen_by_a_process_that_has_looked_before_and_undoing_it_restores_the_identity(
    package,
):
    before = identities(package)
    text = (package / "seeds.py").read_text()
    (package / "seeds.py").write_text(text.replace(">> 1", ">> 9"))
    assert identities(package) != before
    (package / "seeds.py").write_text(text)
    assert identities(package) == before


def test_the_copy_has_the_identity_of_the_original(package):
    assert identities(package) == identities(ROOT / "kbench")


def test_telling_the_identity_takes_no_torch_and_little_time():
    script = f"""
import sys, time
from pathlib import Path
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "tests" / "identity")!r}]
from test_edits import identities, run_config
config, start = run_config(), time.process_time()
identities(Path({str(ROOT / "kbench")!r}), config)
print(time.process_time() - start)
sys.exit("torch was imported" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1


SHOWN = """
import sys
sys.path.insert(0, sys.argv[1])
from kbench.experiment.schema import Training
print(Training(batch_size=32, epochs=1, warmup_epochs=0.25).model_dump_json())
"""


def test_a_default_of_the_recipe_changes_the_configuration_whose_hash_names_the_run(package):
    def default():
        words = [sys.executable, "-c", SHOWN, str(package.parent)]
        return subprocess.run(
            words, capture_output=True, text=True, cwd=package.parent, check=True
        ).stdout

    before = default()
    replace("experiment/schema.py", r"default=5e-4", "default=6e-4")(package)
    assert default() != before
    was, now = (
        run_config(training=Training.model_validate_json(text).model_dump())
        for text in (before, default())
    )
    assert was.hash != now.hash and was.run != now.run
