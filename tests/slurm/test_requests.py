"""What jobs ask of Slurm, and how its answers are read; no Slurm is needed."""

import pytest

from kbench.errors import UserError
from kbench.experiment.schema import Resources
from kbench.slurm import cluster, preflight, profile, site
from kbench.slurm.request import request
from kbench.slurm.site import Site

ENCODING = ("pretrain", "features", "features_part")
RULES = ("world", "corpus", "take", "tune", "evaluate", "compare", "report", *ENCODING)
NEEDS = Resources(threads=4, memory_gb=16, hours=10)


def asked(rule, attempt=1, needs=NEEDS, **settings):
    """Return the resources of a job at an attempt."""
    resources = request(rule, needs, Site(**settings)).resources()
    return {
        name: value(None, attempt) if callable(value) else value
        for name, value in resources.items()
    }


@pytest.mark.parametrize("switch", ["gpus", "gres"])
def test_gpus_are_asked_for_one_way_and_only_where_images_are_encoded(switch):
    for rule in RULES:
        job, options = (
            asked(rule, gpu_request=switch),
            request(rule, NEEDS, Site(gpu_request=switch)).options(),
        )
        uses = rule in ENCODING
        assert ("gpu" in job, "gres" in job) == (
            uses and switch == "gpus",
            uses and switch == "gres",
        ), rule
        assert [o.split("=")[0] for o in options if "g" in o[:4]] == (
            [f"--{switch}"] if uses else []
        ), rule
    assert not any("gpu" in asked(rule) or "gres" in asked(rule) for rule in RULES)


def test_the_type_of_gpu_is_part_of_either_way():
    assert asked("pretrain", gpu_request="gres", gpu_type="a100")["gres"] == "gpu:a100:1"
    job = asked("pretrain", gpu_request="gpus", gpu_type="a100")
    assert (job["gpu"], job["gpu_model"]) == (1, "a100")
    assert (
        "--gpus=a100:1"
        in request("pretrain", NEEDS, Site(gpu_request="gpus", gpu_type="a100")).options()
    )


def test_memory_and_time_grow_with_retries_up_to_what_the_site_has():
    assert [asked("pretrain", n)["mem_mb"] for n in (1, 2, 3)] == [16000, 32000, 48000]
    assert [asked("evaluate", n)["runtime"] for n in (1, 2)] == [600, 1200]
    capped = {"largest_memory_gb": 20, "longest_hours": 12}
    assert [asked("pretrain", n, **capped)["mem_mb"] for n in (1, 2, 3)] == [16000, 20000, 20000]
    assert [asked("pretrain", n, **capped)["runtime"] for n in (1, 2)] == [600, 720]


def test_a_rule_comes_before_the_gpu_section_and_that_before_the_site():
    settings = {
        "partition": "cpu",
        "account": "lab",
        "gpu_request": "gpus",
        "gpu": {"partition": "gpu", "constraint": "a100"},
        "rules": {"features": {"partition": "short", "cpus": 8, "hours": 0.5}},
        "jobs_per_partition": {"gpu": 8, "cpu-small": 2},
    }
    pretrain, features, evaluate = (
        asked(rule, **settings) for rule in ("pretrain", "features", "evaluate")
    )
    assert (pretrain["slurm_partition"], pretrain["constraint"], pretrain["slurm_account"]) == (
        "gpu",
        "a100",
        "lab",
    )
    assert (features["slurm_partition"], features["constraint"], features["runtime"]) == (
        "short",
        "a100",
        30,
    )
    assert request("features", NEEDS, Site(**settings)).cpus == 8
    assert evaluate["slurm_partition"] == "cpu" and "constraint" not in evaluate
    assert (pretrain["jobs_in_gpu"], evaluate["jobs_in_gpu"], pretrain["jobs_in_cpu_small"]) == (
        1,
        0,
        0,
    )
    assert profile.limits(Site(**settings))["jobs_in_gpu"] == 8


def test_one_line_of_the_experiment_spreads_training_over_tasks_and_nodes():
    needs = Resources(threads=4, memory_gb=16, hours=10, processes=8)
    job = asked("pretrain", needs=needs, gpu_request="gres", gpus_per_node=4)
    assert (job["mpi"], job["tasks"], job["nodes"], job["gres"]) == ("srun", 8, 2, "gpu:4")
    assert (
        "mpi" not in asked("features", needs=needs)
        and asked("features", needs=needs, gpu_request="gpus")["gpu"] == 1
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("partitoin: gpu", "did you mean 'partition'"),
        ("rules: {pretrain: {memory: 3}}", "did you mean 'memory_gb'"),
        ("gpu_request: both", "gpu_request"),
        ("submissions: fast", "submissions"),
        ("partition: [", "not YAML"),
    ],
)
def test_mistakes_in_the_site_file_are_one_message(tmp_path, monkeypatch, text, words):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    monkeypatch.setenv(site.VARIABLE, str(path))
    with pytest.raises(UserError, match=words) as error:
        site.load()
    assert str(path) in str(error.value)


def test_a_site_file_that_is_named_and_absent_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(site.VARIABLE, str(tmp_path / "absent.yaml"))
    with pytest.raises(UserError, match="cannot read the site file"):
        site.load()


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Put commands of Slurm on PATH that say what a test wants."""

    def install(**scripts):
        for name, script in scripts.items():
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return install


DISABLED = "echo Slurm accounting storage is disabled >&2; exit 1"


def test_job_states_are_asked_of_sacct_where_it_answers(commands):
    commands(sacct="exit 0")
    assert profile.choose_status(Site()) == "sacct"


def test_without_accounting_squeue_is_asked_and_the_user_told(commands, capsys):
    commands(sacct=DISABLED, scontrol="echo 'MinJobAge               = 300 sec'")
    assert profile.choose_status(Site()) == "squeue"
    assert "Slurm accounting storage is disabled" in capsys.readouterr().err


def test_a_sacct_that_never_answers_counts_as_refused(commands, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.2)
    commands(sacct="exec sleep 30", scontrol="echo 'MinJobAge = 300 sec'")
    assert profile.choose_status(Site()) == "squeue"


@pytest.mark.parametrize(("age", "first"), [(60, 20), (300, 120)])
def test_where_nothing_can_tell_job_states_nothing_is_submitted(commands, age, first):
    commands(sacct=DISABLED, scontrol=f"echo 'MinJobAge = {age} sec'")
    with pytest.raises(UserError, match="MinJobAge"):
        profile.choose_status(Site(first_check_seconds=first))


def test_accounting_that_was_chosen_and_is_refused_is_an_error(commands):
    commands(sacct=DISABLED)
    with pytest.raises(UserError, match="legal here: squeue, auto"):
        profile.choose_status(Site(status="sacct"))


def test_without_slurm_the_profile_says_where_it_belongs(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="login node"):
        preflight.check([request("world", NEEDS, Site())])


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "sbatch: error: invalid partition specified: gpus",
            "change partition in slurm-site.yaml; partitions: fast, main",
        ),
        (
            "sbatch: error: Invalid account or account/partition combination specified",
            "change account or qos",
        ),
        ("allocation failure: Invalid feature specification", "change constraint"),
        (
            "allocation failure: Requested node configuration is not available",
            "rules.pretrain.memory_gb or gpu_request",
        ),
        (
            "sbatch: error: Requested time limit is invalid (missing or exceeds some limit)",
            "rules.pretrain.hours",
        ),
    ],
)
def test_a_refusal_is_shown_in_slurms_words_with_the_setting_to_change(commands, said, words):
    commands(
        sbatch=f"echo '{said}' >&2; exit 1",
        sinfo="echo 'main*|1|idle|64|8000|(null)|1:00'; echo 'fast|1|idle|2|9|gpu:1|1'",
    )
    with pytest.raises(UserError) as error:
        preflight.check([request("pretrain", NEEDS, Site(gpu_request="gpus"))])
    assert words in str(error.value) and said.split(": ")[-1] in str(error.value)


def test_jobs_of_a_lost_snakemake_are_stopped_and_others_left_alone(
    commands, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    lines = [
        f"11\\trule_pretrain_wildcards_runs_cosine-s0-1234abcd\\t{tmp_path}",
        f"12\\trule_pretrain_wildcards_runs_filip-s0-1234abcd\\t{tmp_path}",
        "13\\trule_pretrain_wildcards_runs_cosine-s0-1234abcd\\t/elsewhere",
        f"14\\tmy own job\\t{tmp_path}",
    ]
    printed = "\\n".join(lines)
    gone = tmp_path / "stopped"
    commands(squeue=f"[ -e {gone} ] || printf '{printed}\\n'", scancel=f'echo "$@" > {gone}')
    preflight.stop_leftovers(["cosine-s0-1234abcd", "cosine-s1-1234abcd"])
    assert gone.read_text().split() == ["11"]
    assert "1 jobs of an earlier snakemake" in capsys.readouterr().err
