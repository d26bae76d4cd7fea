"""One module a subcommand; this table is what `kbench --help` prints."""

COMMANDS: dict[str, str] = {
    "variants": "list the similarity variants: formula, parameters, explicit features or not",
    "datasets": "list the evaluation datasets and which are present",
    "experiments": "list the experiment files",
    "published list": "list the published numbers, one line each",
    "published show": "print the published rows of one source",
    "published import": "import published numbers from a document's tables",
    "check": "validate an experiment file and print its plan",
    "resolve": "write the frozen run configurations of an experiment",
    "world make": "generate the embedded world: corpus shards and evaluation sets",
    "corpus verify": "read every shard of a corpus and write its manifest",
    "pretrain": "train one run from its frozen configuration, resuming where it stopped",
    "features": "encode every image, prompt and caption of a run's evaluation sets once",
    "evaluate": "score every evaluation set of one run from its features",
    "zeroshot": "zero-shot classification from a feature folder",
    "linear-probe": "the published linear-probe protocol on arbitrary features",
    "retrieval": "image-text retrieval recall from a feature folder",
    "pmi-gap": "the gap between a run's scores and the pointwise mutual information",
    "score": "the similarity of arbitrary weighted point sets",
    "compare": "gather every result of an experiment into one tidy table",
    "report": "render the comparison as HTML, Markdown and LaTeX",
}
