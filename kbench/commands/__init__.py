"""One module a subcommand; this table is what `kbench --help` prints.

A plural noun lists what there is; a verb acts on an experiment, a run or a result; a noun and a
verb act on anything else. The name of an evaluation task scores it.
"""

COMMANDS: dict[str, str] = {
    "new": "make a folder for experiments of your own, with a first one that runs",
    "variants": "list the similarity variants: formula, parameters, explicit features or not",
    "objectives": "list the training objectives",
    "tasks": (
        "list the evaluation tasks: metrics, units, chance; each is also a command that scores it"
        " alone"
    ),
    "conform": "check that a similarity, objective, task or dataset does all that one must do",
    "datasets": "list the evaluation datasets and which are present",
    "dataset verify": "check evaluation datasets: counts, class order, no image in two splits",
    "dataset fetch": "download an evaluation dataset that has a URL",
    "documents": "list the JSON documents of an experiment's results, and what each key means",
    "experiments": "list the experiment files",
    "published": "list the published numbers, one line each",
    "published show": "print the published rows of one source",
    "published import": "import published numbers from a document's tables",
    "check": "validate an experiment file and print its plan",
    "power": "the smallest difference that an experiment can find, and the seeds that one needs",
    "differences": "how kbench differs from a released recipe, and with what effect",
    "resolve": "write the frozen run configurations of an experiment",
    "floor": "the least excess loss that free vectors reach on the embedded world",
    "world make": "generate the embedded world: corpus shards and evaluation sets",
    "corpus verify": "read every shard of a corpus and write its manifest",
    "tune": "choose settings from the trials of a search, and freeze the runs that use them",
    "pretrain": "train one run from its frozen configuration, resuming where it stopped",
    "models": "list the imported models",
    "model import": "import a model that was trained elsewhere, to be evaluated",
    "model take": "put an imported model into the folder of the run that evaluates it",
    "model export": "write a run's model as a folder that open_clip loads",
    "launch": "start a command as several processes, under srun or torchrun",
    "features": "encode every image, prompt and caption of a run's evaluation sets once",
    "evaluate": "score every evaluation set of one run from its features",
    "linear-probe": "the published linear-probe protocol on arbitrary features",
    "score": "the similarity of arbitrary weighted point sets",
    "bench": "measure kbench beside its baseline: time, memory, variance",
    "status": "how far the jobs of an experiment are: done, running, failed, waiting",
    "compare": "gather every result of an experiment into one tidy table",
    "bundle": "put all that a report reads of an experiment into one file",
    "merge": "pool one experiment's results from several machines",
    "reproduce": "run an experiment again from its results, and compare every number",
    "verify": "check that results, or a bundle, are what they say",
    "trace": "where a number comes from: rows, features, weights, data, code, commands",
    "rerun": "the commands that make a result again; or run them and compare",
    "report": "render the comparison as HTML, Markdown and LaTeX",
    "site": "write a static site of several experiments",
    "summarize": "write what is worth keeping of an experiment into a small folder",
    "container build": "build the image that jobs run in, and its SIF",
    "container wheels": (
        "gather the packages of the image, for a build on a machine without an index"
    ),
    "container verify": "check an image: run kbench doctor inside it",
    "container run": "run one kbench command in a container",
    "packages": "list the packages that kbench runs with; SBOM, known vulnerabilities",
    "completion": "what bash, zsh or fish need to complete kbench's words",
    "doctor": "what kbench sees of this machine: versions, GPU, folders, free disk, datasets",
}

ALIASES: dict[str, str] = {
    "benchmark fetch": "dataset fetch",
    "benchmark verify": "dataset verify",
    "published list": "published",
    "run": "container run",
    "summary": "summarize",
}
"""Names of release 0.1.0 -> today's; they go with release 0.3."""
