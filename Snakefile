# From an experiment file to a comparison report.
#   snakemake --cores all                               the demo
#   snakemake --cores all --config experiment=cifar10   another experiment, by name or path; smoke=true shrinks it
import re
import sys

from snakemake.utils import min_version

from kbench import devices, lifeline
from kbench.errors import UserError
from kbench.plan.workflow import Workflow

min_version("9.8")

try:
    experiment = Workflow(config, workflow)
except UserError as error:
    print(f"kbench: {error}", file=sys.stderr)
    sys.exit(2)


if (
    workflow.is_main_process
    and "devices" not in workflow.global_resources
    and devices.visible()
):
    workflow.register_resource("devices", len(devices.visible()))


include: "workflow/rules/container.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        experiment.path("report", "index.html"),
    localrule: True


onstart:
    if workflow.executor_plugin.name == "local":
        lifeline.hold()
    if workflow.executor_plugin.name == "slurm":
        try:
            experiment.before_submission(
                [job.rule.name for job in workflow.dag.needrun_jobs()]
            )
        except UserError as error:
            print(f"kbench: {error}", file=sys.stderr)
            sys.exit(2)


onsuccess:
    print(f"Report: {experiment.path('report', 'index.html')}", file=sys.stderr)
