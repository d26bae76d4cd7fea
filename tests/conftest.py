"""What tests of several parts share: a small embedded world, a short trained run, and the command
line.
"""

import gc
import shutil
import tarfile

import command
import pytest
from tiny import EXPERIMENT

import kbench.towers.compat  # torchvision imports beside the CPU build of torch

FIRST = ("workflow", "trace", "pretrain", "floor", "bench", "models")
"""Folders with files of minutes: begun last, one of them would be waited for alone."""


def pytest_collection_modifyitems(items):
    """Begin with what takes longest (stable, so that a file stays together)."""
    items.sort(key=lambda item: item.path.parent.name not in FIRST)


def pytest_collection_finish():
    """Keep the garbage collector from looking through all modules and tests again and again."""
    gc.freeze()


@pytest.fixture(scope="session")
def kbench():
    """Run a kbench command in this process, which has torch imported already; returns what a
    process of its own would: its status, and its output as text.
    """
    return command.here


@pytest.fixture(scope="session")
def kbench_alone():
    """Run a kbench command in a process of its own: for what looks at the process, sets it up, or
    leaves it changed.
    """
    return command.alone


@pytest.fixture(scope="session")
def refused():
    """Assert that a command refused its input: exit status 2, one message that holds all words, no
    traceback.
    """

    def check(process, *words):
        assert process.returncode == 2, process.stderr
        assert "Traceback" not in process.stderr
        message = [line for line in process.stderr.splitlines() if line.startswith("kbench: ")]
        assert len(message) == 1, process.stderr
        for word in words:
            assert word in message[0]

    return check


@pytest.fixture(scope="module")
def browser():
    """A real browser without a window; skips where there is none, or no playwright."""
    playwright, chromium = pytest.importorskip("playwright.sync_api"), shutil.which("chromium")
    if not chromium:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-quic"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    """A small embedded world on disk."""
    from kbench.world.make import make
    from kbench.world.manifest import WorldSettings

    folder = tmp_path_factory.mktemp("data") / "world"
    make(folder, WorldSettings(seed=3, pairs=512, eval_images=64))
    return folder


@pytest.fixture
def two_shards(tiny_world, tmp_path):
    """The corpus of the small world in two shards, so that two processes have one each."""
    folder = tmp_path / "world" / "corpus"
    folder.mkdir(parents=True)
    with tarfile.open(tiny_world / "corpus/00000.tar") as whole:
        members = whole.getmembers()
        for number, half in enumerate((members[: len(members) // 2], members[len(members) // 2 :])):
            with tarfile.open(folder / f"{number:05d}.tar", "w") as part:
                for member in half:
                    part.addfile(member, whole.extractfile(member))
    return tmp_path / "world"


@pytest.fixture(scope="session")
def tiny_experiment(tmp_path_factory):
    """A resolved experiment: (experiment file, results folder, folders of its two runs)."""
    from kbench.experiment.load import load, resolve
    from kbench.plan.freeze import freeze

    folder = tmp_path_factory.mktemp("experiment")
    path = folder / "tiny.yaml"
    path.write_text(EXPERIMENT)
    experiment = load(str(path))
    runs = resolve(experiment)
    freeze(experiment, runs, [], folder / "results")
    return path, folder / "results", [folder / "results" / "runs" / run.run for run in runs]


@pytest.fixture(scope="session")
def trained(tiny_experiment, tiny_world):
    """The runs of the tiny experiment, trained, with features and evaluations."""
    from kbench import files, tasks
    from kbench.corpus.manifest import verify
    from kbench.evaluate.features import Encoder
    from kbench.evaluate.run import TrainedRun, datasets, read_evaluation
    from kbench.evaluate.scoring import evaluate
    from kbench.experiment.load import read_run
    from kbench.locations import Locations
    from kbench.pretrain.loop import pretrain

    _, results, folders = tiny_experiment
    where = Locations(world=tiny_world)
    name, evaluation = read_evaluation(results / "evaluation.json")
    runs = [TrainedRun(folder) for folder in folders]
    for run in runs:
        config = read_run(run.folder / "config.json")
        manifest = verify(config.corpus, where)
        files.write_json(results / "corpus.json", manifest.model_dump(mode="json"))
        pretrain(config, run.folder, manifest, where, "cpu", workers=0)
        encoder = Encoder(run, evaluation, "cpu")
        for dataset in datasets(evaluation):
            encoder.extract(dataset, where)
            for task in tasks.of(dataset, evaluation.tasks):
                evaluate(run, dataset, task, name, evaluation)
    return runs
