if experiment.world:

    rule world:
        output:
            touch(f"{experiment.world}.done"),
        log:
            experiment.path("logs", "world.log"),
        benchmark:
            experiment.path("benchmarks", "world.tsv")
        threads: experiment.request("world").cpus
        resources:
            **experiment.request("world").resources(),
        params:
            folder=subpath(output[0], strip_suffix=".done"),
            options=experiment.world_settings.options,
        shell:
            "kbench world make --output {params.folder:q} {params.options:q} > {log:q} 2>&1"


rule corpus:
    input:
        config=ancient(experiment.frozen_config),
        world=experiment.world_ready,
    output:
        experiment.path("corpus.json"),
    log:
        experiment.path("logs", "corpus.log"),
    benchmark:
        experiment.path("benchmarks", "corpus.tsv")
    threads: experiment.request("corpus").cpus
    resources:
        **experiment.request("corpus").resources(),
    params:
        locations=experiment.locations,
    shell:
        "kbench corpus verify --config {input.config:q} --output {output:q} --processes {threads:q} {params.locations:q}"
        " > {log:q} 2>&1"
