# A dataset too large for one job is encoded in parts; rule features puts them together.
if experiment.parts:

    rule features_part:
        input:
            weights=experiment.path("runs", "{run}", "model.safetensors"),
            card=experiment.path("runs", "{run}", "model.json"),
            evaluation=experiment.frozen("evaluation.json"),
        output:
            experiment.path("runs", "{run}", "parts", "{dataset}", "{part}.json"),
        log:
            experiment.path("logs", "features_part", "{run}", "{dataset}", "{part}.log"),
        benchmark:
            experiment.path(
                "benchmarks", "features_part", "{run}", "{dataset}", "{part}.tsv"
            )
        wildcard_constraints:
            part=r"\d+-of-\d+",
        threads: experiment.request("features_part").cpus
        resources:
            **experiment.request("features_part").resources(),
        params:
            folder=subpath(input.card, parent=True),
            locations=experiment.locations,
        shell:
            "kbench features --run {params.folder:q} --evaluation {input.evaluation:q} {params.locations:q}"
            " --dataset {wildcards.dataset:q} --part {wildcards.part:q} > {log:q} 2>&1"


rule features:
    input:
        weights=experiment.path("runs", "{run}", "model.safetensors"),
        card=experiment.path("runs", "{run}", "model.json"),
        evaluation=experiment.frozen("evaluation.json"),
        world=experiment.world_ready,
        parts=[
            experiment.path("runs", "{run}", "parts", *part)
            for part in experiment.parts
        ],
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
