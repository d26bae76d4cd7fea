rule features:
    input:
        weights=experiment.path("runs", "{run}", "model.safetensors"),
        card=experiment.path("runs", "{run}", "model.json"),
        evaluation=experiment.frozen("evaluation.json"),
        world=experiment.world_ready,
    output:
        experiment.path("runs", "{run}", "encoded.json"),
    log:
        experiment.path("logs", "features", "{run}.log"),
    benchmark:
        experiment.path("benchmarks", "features", "{run}.tsv")
    threads: experiment.request("features").cpus
    resources:
        **experiment.request("features").resources(),
    params:
        folder=subpath(input.card, parent=True),
        locations=experiment.locations,
    shell:
        "kbench features --run {params.folder:q} --evaluation {input.evaluation:q} {params.locations:q} > {log:q} 2>&1"


rule evaluate:
    input:
        features=experiment.path("runs", "{run}", "encoded.json"),
        evaluation=experiment.frozen("evaluation.json"),
    output:
        experiment.path("runs", "{run}", "evaluated.json"),
    log:
        experiment.path("logs", "evaluate", "{run}.log"),
    benchmark:
        experiment.path("benchmarks", "evaluate", "{run}.tsv")
    threads: experiment.request("evaluate").cpus
    resources:
        **experiment.request("evaluate").resources(),
    params:
        folder=subpath(input.features, parent=True),
    shell:
        "kbench evaluate --run {params.folder:q} --evaluation {input.evaluation:q} > {log:q} 2>&1"
