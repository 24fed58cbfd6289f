"""JSON is counted before it is read, and what is in texts does not count."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import bounded_json
from aerodrome.bounded_json import TooManyValuesError

TEXTS = st.text(alphabet='"\\[{,:]}aé\n', max_size=12)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def values(document):
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return 1 + sum(map(values, inner))


def empties(document):
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return (document in ([], {})) + sum(map(empties, inner))


@given(DOCUMENTS, st.booleans())
def test_the_count_is_exact_whatever_stands_in_texts(document, ascii_only):
    text = json.dumps(document, ensure_ascii=ascii_only).encode()
    counted = values(document) - 1 + empties(document)
    assert bounded_json.loads(text, most=counted) == document
    if counted:
        with pytest.raises(TooManyValuesError):
            bounded_json.loads(text, most=counted - 1)


@given(st.text(alphabet='"\\[{,:]}1 ', max_size=40))
def test_what_is_no_json_is_refused_or_has_no_more_values_than_are_allowed(text):
    try:
        found = bounded_json.loads(text.encode(), most=5)
    except ValueError:
        return
    assert values(found) <= 6


@pytest.mark.parametrize("piece", ["[],", "{},", "1,", '"",', '{"a":[]},', "[[]],"])
def test_a_document_of_many_values_is_refused_before_it_is_read(piece, monkeypatch):
    monkeypatch.setattr(json, "loads", None)
    text = f"[{piece * bounded_json.MOST_VALUES}0]".encode()
    for read in (bounded_json.loads, lambda each: bounded_json.strictly(each, deepest=9)):
        with pytest.raises(TooManyValuesError):
            read(text)


def test_long_texts_of_anything_are_read():
    line = '[{,\\"' * bounded_json.MOST_VALUES
    assert bounded_json.loads(json.dumps({"message": line}).encode()) == {"message": line}


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "-Infinity", "1e999", "[-1e999]", "[" * 9 + "]" * 9, "\xff"])
def test_what_cannot_be_sent_on_is_refused(text):
    with pytest.raises(ValueError, match=r".") as caught:
        bounded_json.strictly(text.encode("latin-1"), deepest=8)
    assert not isinstance(caught.value, RecursionError)


@pytest.mark.parametrize("deep", [2_000, 100_000])
def test_what_is_nested_without_end_is_refused(deep):
    with pytest.raises(ValueError, match="nested too deeply"):
        bounded_json.strictly(b"[" * deep + b"]" * deep, deepest=100)


@given(DOCUMENTS)
def test_what_can_be_sent_on_is_read_as_it_is(document):
    found = bounded_json.strictly(json.dumps(document).encode(), deepest=40)
    assert found == document
    assert not isinstance(found, float) or math.isfinite(found)
