"""Columns of the tidy table."""

from kbench.records.documents import Provenance

RUN_FIELDS = ["run", "variant", "objective", "seed", "corpus", "backbone", "epochs", "selection"]
RESULT_FIELDS = ["experiment", *RUN_FIELDS, "dataset", "task", "split", "n_test"]
METRIC_FIELDS = ["name", "value", "draw_sd", "unit", "higher_is_better", "main"]
PROVENANCE_FIELDS = list(Provenance.model_fields)
COLUMNS = [
    *RESULT_FIELDS,
    *("metric" if name == "name" else name for name in METRIC_FIELDS),
    "n_draws",
    "status",
    "job",
    *PROVENANCE_FIELDS,
]
