"""The comparison that an experiment was made for, as it was named before it ran."""

from collections.abc import Mapping

from kbench.experiment.schema import Primary
from kbench.records.documents import ExperimentRecord
from kbench.results.pairs import Comparison, Pairs
from kbench.results.summary import Column, Scores


def named(record: ExperimentRecord) -> Primary | None:
    """Return the question of an experiment, None if it named none."""
    section = record.experiment.get("primary")
    return Primary.model_validate(section) if section else None


def about_groups(question: Primary, groups: Mapping[str, str]) -> Primary:
    """Return a question with the names of groups in the place of variants' labels, which have their
    objective behind them where there are several.
    """
    others = question.variants and tuple(groups.get(name, name) for name in question.variants)
    reference = groups.get(question.reference, question.reference)
    return question.model_copy(update={"reference": reference, "variants": others})


def comparisons(question: Primary, scores: Scores, pairs: Pairs) -> list[Comparison]:
    """Return each variant that was asked about against the reference, Holm's correction over these
    alone; empty where nothing of it has been scored.
    """
    columns = tuple(columns_of(question, scores))
    if not columns:
        return []
    asked = question.variants or [name for name in scores.groups if name != question.reference]
    return pairs.chosen([(name, question.reference, columns) for name in asked])


def columns_of(question: Primary, scores: Scores) -> list[Column]:
    """Return the columns that the question is about, of those that there are."""
    of_task = scores.columns(question.task)
    return [column for column in of_task if question.dataset in (None, column.dataset)]
