"""The report of an experiment: one page, Markdown and LaTeX from the same tables."""
