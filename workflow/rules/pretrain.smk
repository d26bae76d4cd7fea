# Checkpoints and metrics.jsonl are no outputs: Snakemake deletes outputs before it runs a job again.
rule pretrain:
    input:
        config=ancient(experiment.path("runs", "{run}", "config.json")),
        manifest=experiment.path("corpus.json"),
    output:
        weights=experiment.path("runs", "{run}", "model.safetensors"),
        card=experiment.path("runs", "{run}", "model.json"),
    log:
        experiment.path("logs", "pretrain", "{run}.log"),
    benchmark:
        experiment.path("benchmarks", "pretrain", "{run}.tsv")
    threads: experiment.experiment.resources.threads
    resources:
        mem_mb=experiment.experiment.resources.memory_gb * 1000,
        runtime=round(experiment.experiment.resources.hours * 60),
    params:
        folder=subpath(output.card, parent=True),
        workers=experiment.experiment.resources.workers,
        locations=experiment.locations,
    shell:
        "kbench pretrain --run '{params.folder}' --manifest '{input.manifest}' --workers {params.workers}"
        " {params.locations} > '{log}' 2>&1"
