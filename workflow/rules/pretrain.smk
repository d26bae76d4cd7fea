# Checkpoints and metrics.jsonl are no outputs: Snakemake deletes outputs before it runs a job again.
# The runs of a search, if there is one, lie in search/ and train as the reported ones in runs/ do.
rule pretrain:
    input:
        config=ancient(experiment.frozen("{part}", "{run}", "config.json")),
        manifest=experiment.path("corpus.json"),
    output:
        weights=experiment.path("{part}", "{run}", "model.safetensors"),
        card=experiment.path("{part}", "{run}", "model.json"),
    log:
        experiment.path("logs", "pretrain", "{part}", "{run}.log"),
    benchmark:
        experiment.path("benchmarks", "pretrain", "{part}", "{run}.tsv")
    wildcard_constraints:
        part="runs|search",
    container:
        None if contained_by_launch else job_image
    threads: experiment.request("pretrain").cpus
    resources:
        **experiment.request("pretrain").resources(),
    params:
        folder=subpath(output.card, parent=True),
        contained=contained_by_launch,
        processes=experiment.experiment.resources.processes,
        workers=experiment.experiment.resources.workers,
        locations=experiment.locations,
        reuse=experiment.reuse,
    shell:
        "exec kbench launch --processes {params.processes:q} --cpus {threads:q} {params.contained:q}"
        " pretrain --run {params.folder:q} --manifest {input.manifest:q} --workers {params.workers:q}"
        " {params.locations:q} {params.reuse:q} > {log:q} 2>&1"


if experiment.imported:

    ruleorder: take > pretrain

    rule take:
        input:
            config=ancient(experiment.frozen("runs", "{run}", "config.json")),
        output:
            weights=experiment.path("runs", "{run}", "model.safetensors"),
            card=experiment.path("runs", "{run}", "model.json"),
        log:
            experiment.path("logs", "take", "{run}.log"),
        benchmark:
            experiment.path("benchmarks", "take", "{run}.tsv")
        wildcard_constraints:
            run="|".join(map(re.escape, experiment.imported)),
        threads: experiment.request("take").cpus
        resources:
            **experiment.request("take").resources(),
        params:
            folder=subpath(output.card, parent=True),
        shell:
            "kbench model take --run {params.folder:q} > {log:q} 2>&1"


if experiment.trials:

    rule tune:
        input:
            ancient(experiment.frozen("experiment.json")),
            expand(
                experiment.path("search", "{run}", "model.json"), run=experiment.trials
            ),
        output:
            experiment.path("tuning.json"),
            expand(
                experiment.path("runs", "{run}", "config.json"), run=experiment.trained
            ),
        log:
            experiment.path("logs", "tune.log"),
        benchmark:
            experiment.path("benchmarks", "tune.tsv")
        threads: experiment.request("tune").cpus
        resources:
            **experiment.request("tune").resources(),
        params:
            folder=subpath(output[0], parent=True),
        shell:
            "kbench tune {params.folder:q} > {log:q} 2>&1"
