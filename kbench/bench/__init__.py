"""What `kbench bench` measures: one module each, with `configure(parser)` and `rows(arguments) ->
list[Row]`, or `batches(arguments)`, which yields rows as they are measured.
"""

BENCHES = {
    "similarity": "time and memory of every similarity's loss, and of whole training steps",
    "loader": "images per second and core from shards to batches, against open_clip's pipeline",
    "step": (
        "whole training steps of every similarity: time, memory, data wait, FLOP, against"
        " open_clip's"
    ),
    "objective": "whole training steps with every objective, against InfoNCE's",
    "dag": "time and memory of planning a large experiment, and of seeing that it is finished",
    "submission": "what Snakemake's own process takes for each job it sends to a simulated Slurm",
    "startup": "time from starting a job to its first useful work",
    "probe": "time of the linear probe's whole search",
    "evaluate": "time of zero-shot and linear probe on CIFAR-10, images included",
    "retrieval": "time from embeddings to recalls in both directions, against CLIP_benchmark's",
    "correctness": "every similarity, objective and precision on a device, against the CPU",
    "features": "images per second through a tower, against open_clip's, at several batch sizes",
    "pretraining": "a real training on a device, interrupted and resumed",
    "gpu": "all that is worth measuring on a GPU, part by part, each kept when it ends",
    "estimators": "variance of random features against the exact kernel",
}
