# The image that every job runs in when, and only when, containers are asked for (--use-singularity).
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from kbench.container import image, isolation

job_image = experiment.image
# A training by several processes starts its own containers, one for each, because srun is in no image.
contained_by_launch = []

if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    try:
        found = image.remembered(experiment.image, anew=workflow.is_main_process)
        job_image = found.link()
        folders = isolation.folders(
            [*experiment.results_folders[1:], *isolation.data(experiment.data)],
            made=[experiment.results],
        )
        options = isolation.apptainer_shell(folders, found.digest)
        if experiment.request("pretrain").tasks > 1:
            binds = [f"--bind={folder}" for folder in folders]
            contained_by_launch = [f"--image={job_image}", *binds]
    except UserError as error:
        print(f"kbench: {error}", file=sys.stderr)
        sys.exit(2)
    # A process that Snakemake starts for one job is handed these options, and reads this file too.
    if options not in workflow.deployment_settings.apptainer_args:
        workflow.deployment_settings.apptainer_args += f" {options}"


container: job_image
