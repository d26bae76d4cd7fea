rule compare:
    input:
        experiment.frozen("experiment.json"),
        expand(experiment.path("runs", "{run}", "evaluated.json"), run=experiment.runs),
    output:
        report(
            experiment.path("table.csv"),
            category="Results",
            labels={"what": "tidy table"},
        ),
        experiment.path("table.json"),
        experiment.path("bundle.tar.xz"),
    log:
        experiment.path("logs", "compare.log"),
    benchmark:
        experiment.path("benchmarks", "compare.tsv")
    threads: experiment.request("compare").cpus
    resources:
        **experiment.request("compare").resources(),
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "kbench compare {params.folder:q} > {log:q} 2>&1"
        " && kbench bundle {params.folder:q} >> {log:q} 2>&1"


rule report:
    input:
        experiment.path("bundle.tar.xz"),
    output:
        report(
            experiment.path("report", "index.html"),
            category="Results",
            labels={"what": "report"},
        ),
        experiment.path("report", "report.md"),
        experiment.path("report", "report.tex"),
    log:
        experiment.path("logs", "report.log"),
    benchmark:
        experiment.path("benchmarks", "report.tsv")
    threads: experiment.request("report").cpus
    resources:
        **experiment.request("report").resources(),
    shell:
        "kbench report {input:q} > {log:q} 2>&1"
