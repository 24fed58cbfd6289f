"""Which two revisions are compared, and what differs between them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from aerodrome.cli import rendering, revision_diff
from aerodrome.errors import CallerError


def revision(number, outcome="APPLIED", *, runs=False):
    return {
        "number": number,
        "kind": "UPDATE",
        "outcome": outcome,
        "runs": runs,
        "requested_at": "2026-01-01T00:00:00+00:00",
        "requested_by": None,
        "failure": {"code": "UNHEALTHY", "message": "no"} if outcome == "FAILED" else None,
        "report": [],
        "configuration": {"AirflowVersion": "3.3.1"},
    }


HISTORY = [revision(1), revision(2), revision(3, "FAILED"), revision(4, runs=True), revision(5, "PENDING")]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(None, None, (2, 4)), (1, None, (1, 4)), (1, 2, (1, 2)), (4, 3, (4, 3)), (None, 2, (1, 2)), (None, 5, (4, 5))],
)
def test_the_two_that_are_meant(before, after, expected):
    found = revision_diff.chosen(HISTORY, before, after)
    assert tuple(each["number"] for each in found) == expected


@pytest.mark.parametrize(("before", "after", "words"), [(9, None, "1, 2, 3, 4, 5"), (None, 1, "name two")])
def test_what_cannot_be_meant(before, after, words):
    with pytest.raises(CallerError, match=words):
        revision_diff.chosen(HISTORY, before, after)


def test_differences_name_nested_members():
    before = {"A": 1, "Options": {"core.x": "1", "core.y": "2"}, "Gone": "g", "Same": {"a": {"b": 1}}}
    after = {"A": 2, "Options": {"core.x": "1", "core.z": "3"}, "Same": {"a": {"b": 1}}}
    assert revision_diff.differences(before, after) == [
        {"member": "A", "before": 1, "after": 2},
        {"member": "Gone", "before": "g", "after": None},
        {"member": "Options.core.y", "before": "2", "after": None},
        {"member": "Options.core.z", "before": None, "after": "3"},
    ]


documents = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.integers(0, 2) | st.dictionaries(st.text("xy", min_size=1, max_size=1), st.integers(0, 2), min_size=1),
)


@given(documents, documents)
def test_equal_documents_alone_have_no_differences(one, other):
    assert (revision_diff.differences(one, other) == []) == (one == other)


def test_the_tables_show_what_matters():
    console = Console(file=io.StringIO(), width=200)
    console.print(rendering.revisions(HISTORY))
    console.print(rendering.differences(1, 2, [{"member": "A", "before": None, "after": "new"}]))
    console.print(rendering.differences(1, 2, []))
    console.print(rendering.snapshots([]))
    text = console.file.getvalue()
    assert "UNHEALTHY: no" in text
    assert "Aerodrome" in text
    assert "revision 2" in text
    assert "are the same" in text
    assert "No snapshot yet" in text
