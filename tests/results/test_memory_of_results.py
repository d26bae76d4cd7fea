"""What 100,000 results take in memory is what each of them holds."""

import json

from kbench.records import strict_json
from kbench.records.documents import Look


def test_texts_that_recur_are_held_once():
    text = json.dumps({"unit": "fraction, of all", "other": "fraction, of all"})
    first, second = strict_json.parse(text), strict_json.parse(text)
    assert first["unit"] is first["other"] is second["unit"]


def test_a_record_does_not_remember_which_fields_were_given():
    now, then = (Look(when=when, seeds=(0,), results=1, expected=1) for when in ("now", "then"))
    assert now.model_fields_set is then.model_fields_set and not now.model_fields_set
    changed = now.model_copy(update={"when": "then"})
    assert changed == then != now and not now.model_fields_set
