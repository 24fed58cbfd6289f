"""The fields of events that are JSON: found within others, and bounded whatever an event holds."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from aerodrome.telemetry.insights import discovery


def test_fields_within_others_have_names_with_dots() -> None:
    event = {"a": {"b": [1, {"c": "text"}], "d": True}, "e": None, "f": 1.5}
    assert discovery.record(json.dumps(event)) == {"a.b.0": "1", "a.b.1.c": "text", "a.d": "1", "f": "1.5"}


@pytest.mark.parametrize("message", ["words", "[1]", '{"a": ', "{" * 100_000, '{"a":' * 100_000, ""])
def test_what_is_no_object_has_no_fields(message: str) -> None:
    assert discovery.record(message) == {}


@pytest.mark.parametrize(
    "event",
    [
        {"k" * 150_000: [0] * 50_000},
        {"k" * 1_000: [0] * 50_000},
        {"a": {"k" * 1_000: [[0]] * 50_000}},
        {f"{number}": [None] * 1_000 for number in range(100)},
    ],
)
def test_the_names_of_a_hostile_event_are_bounded(event: dict[str, object]) -> None:
    message = json.dumps(event)
    tracemalloc.start()
    try:
        found = discovery.record(message)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) <= discovery.MOST_FIELDS
    assert all(len(name) <= discovery.LONGEST_NAME for name in found)
    assert peak < 16 * 2**20


def test_a_field_beside_one_whose_name_is_too_long_is_found() -> None:
    assert discovery.record(json.dumps({"k" * 2_000: 1, "a": 2})) == {"a": "2"}


def test_names_of_many_events_are_bounded_together_and_known_ones_counted_on() -> None:
    first = json.dumps({"level": "info"})
    distinct = [json.dumps({f"{number}{'k' * 900}": [0] * 900}) for number in range(10)]
    found = dict(discovery.counted([first, *distinct, first]))
    assert found["level"] == 2
    assert sum(map(len, found)) <= discovery.MOST_NAME_CHARS
