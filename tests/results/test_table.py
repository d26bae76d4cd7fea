"""The files of the tidy table: the same values, however many rows."""

import json

import numpy as np
import pandas
import pytest

from kbench.results import table


@pytest.mark.parametrize("rows", [0, 1, 5, 6, 11])
def test_json_in_parts_is_what_an_encoder_writes_at_once(rows, monkeypatch):
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 5)
    draw = np.random.default_rng(0)
    words = ["a", 'é "quoted" \\ and\nbroken', None]
    frame = pandas.DataFrame(
        {
            "text": [words[i % 3] for i in range(rows)],
            "value": [(-0.0, 0.0, np.nan, 1e-300, draw.normal())[i % 5] for i in range(rows)],
            "seed": pandas.array([(i, None)[i % 2] for i in range(rows)], dtype="Int64"),
            "main": pandas.array(
                [(True, False, None)[i % 3] for i in range(rows)], dtype="boolean"
            ),
        }
    )
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    document = {"schema_version": table.SCHEMA_VERSION, "experiment": "made up", "rows": records}
    assert "".join(table._json("made up", frame)) == json.dumps(document, indent=2) + "\n"
    assert not rows or "-0.0" in "".join(table._json("made up", frame))


@pytest.mark.parametrize("rows", [0, 1, 3, 8, 9])
def test_csv_in_parts_is_what_pandas_writes_at_once(rows, monkeypatch):
    monkeypatch.setattr(table, "ROWS_AT_ONCE", 4)
    texts = ["a", "", "a,b", 'so "called"', "two\nlines", "cr\r", " apart ", "größe", None]
    numbers = [0.1, -0.0, 1e-300, 1e22, float("nan"), 1 / 3, 100.0, 5e-324, -2.5]
    frame = pandas.DataFrame(
        {
            "text, quoted": pandas.Series(texts[:rows], dtype="str"),
            "object": pandas.Series(texts[:rows], dtype=object),
            "number": pandas.Series(numbers[:rows], dtype=float),
            "whole": pandas.Series([None, 3, -1, 0, 7, 3, 3, 2, 1][:rows], dtype="Int64"),
            "yes": pandas.Series([True, None, False, *[True] * 6][:rows], dtype="boolean"),
        }
    )
    assert "".join(table._csv(frame)) == frame.to_csv(index=False)
