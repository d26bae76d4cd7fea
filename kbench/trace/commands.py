"""The commands that make one result again, from its frozen configuration, in a folder of its
own.
"""

from dataclasses import dataclass
from pathlib import Path

from kbench import environment, files
from kbench.corpus.kinds.world import WorldCorpus
from kbench.errors import UserError
from kbench.evaluate.run import read_evaluation
from kbench.experiment.load import read_run
from kbench.experiment.schema import Experiment, RunConfig
from kbench.plan.workflow import world_of
from kbench.records.documents import ExperimentRecord, ModelCard, TaskResult
from kbench.results import store
from kbench.trace.chain import Chain


@dataclass(frozen=True)
class Command:
    """The words of one `kbench` command, and the number of threads that it ran with; null where it
    is not recorded.

    That number moves the last bits of a training.
    """

    words: list[str]
    threads: int | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Variables to start it with."""
        return {} if self.threads is None else {environment.THREADS: str(self.threads)}


@dataclass(frozen=True)
class Remake:
    """What has to be written into an empty folder first, and the commands to run after that."""

    documents: dict[Path, object]
    commands: list[Command]
    result: Path


def recipe(traced: Chain, folder: Path, data: Path | None) -> Remake:
    """Return what makes a result again below `folder`.

    UserError if the run's configuration or the experiment's is gone, or the experiment needs a data
    folder and none is given.
    """
    result, results = traced.result, traced.folder
    experiment = Experiment.model_validate(
        store.read_record(results / "experiment.json", ExperimentRecord).experiment
    )
    name, evaluation = read_evaluation(results / "evaluation.json")
    section = evaluation.model_copy(update={"datasets": (result.dataset,)}).model_dump(mode="json")
    run = folder / "runs" / result.run
    world = world_of(experiment)
    where = [
        *(["--world", str(folder / "world")] if world else []),
        *(["--data", str(data)] if data else []),
    ]
    config = read_run(results / "runs" / result.run / "config.json")
    if data is None and not config.imported and not isinstance(config.corpus, WorldCorpus):
        raise UserError(
            f"'{experiment.name}' trains on the corpus '{config.corpus_name}': give --data FOLDER"
        )
    frozen = folder / "evaluation.json"
    card = store.read_record(results / "runs" / result.run / "model.json", ModelCard)
    trained, scored = (
        _threads(results / "runs" / result.run, digest)
        for digest in (card.environment, result.provenance.environment)
    )
    commands = [Command(_make(world, folder))] if world else []
    commands += [
        *_model(config, run, where, trained),
        Command(["features", "--run", str(run), "--evaluation", str(frozen), *where], scored),
        Command(["evaluate", "--run", str(run), "--evaluation", str(frozen)], scored),
    ]
    documents = {
        run / "config.json": files.read_json(results / "runs" / result.run / "config.json"),
        frozen: {"experiment": name, "evaluation": section},
    }
    return Remake(documents, commands, run / "evaluation" / result.dataset / f"{result.task}.json")


def _model(config: RunConfig, run: Path, where: list[str], threads: int | None) -> list[Command]:
    """Return what puts the weights into the run's folder: an import, or a training."""
    if config.imported:
        return [Command(["model", "take", "--run", str(run)])]
    manifest = str(run.parents[1] / "corpus.json")
    frozen = ["--config", str(run / "config.json"), "--output", manifest]
    return [
        Command(["corpus", "verify", *frozen, *where]),
        Command(["pretrain", "--run", str(run), "--manifest", manifest, *where], threads),
    ]


def _threads(run: Path, digest: str | None) -> int | None:
    path = run / "environments" / f"{digest}.json"
    return files.read_json(path)["threads"]["torch"] if path.is_file() else None


def _make(world: WorldCorpus, folder: Path) -> list[str]:
    return ["world", "make", "--output", str(folder / "world"), *world.options]


def differences(before: TaskResult, after: TaskResult) -> list[str]:
    """Return the metrics whose values are not equal, bit for bit, each in words."""
    then, now = (
        {metric.name: metric.value for metric in result.metrics} for result in (before, after)
    )
    return [
        f"{name}: {then.get(name)} before, {now.get(name)} now"
        for name in dict.fromkeys([*then, *now])
        if then.get(name) != now.get(name)
    ]
