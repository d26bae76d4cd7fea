"""The result record, the tidy table, statistics over it, and the published numbers beside it."""
