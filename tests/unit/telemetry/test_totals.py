from __future__ import annotations

import json

from aerodrome.telemetry.metrics import points, totals
from aerodrome.telemetry.metrics.catalogue import Datum, Metric
from aerodrome.telemetry.metrics.totals import Totals


def datum(name: str, minute: int, *values: float, namespace: str = "n") -> Datum:
    return Datum(Metric(namespace, name, (("d", "v"),)), "Count", minute, points.of(dict.fromkeys(values, 1.0)))


def names(found: Totals) -> list[str]:
    return [each["name"] for each in found.document()["series"]]


def room_for(count: int) -> int:
    return count * (len(json.dumps(["n", "a", {"d": "v"}, "Count"])) + totals.FRAME_BYTES)


def test_totals_rise_and_the_last_minute_counts():
    found = Totals({"n"}, since=5.0)
    found.add([datum("a", 120, 1, 3), datum("a", 60, 10), datum("b", 60, 5)], "me", now=0.0)
    found.add([datum("a", 180, 7), datum("other", 60, 1, namespace="m")], "me", now=0.0)
    document = found.document()
    assert document["left_out"] == 0
    assert [
        (each["name"], each["count"], each["sum"], each["minute"], each["last"]) for each in document["series"]
    ] == [
        ("a", 4, 21, 180, 7),
        ("b", 1, 5, 60, 5),
    ]
    assert {each["since"] for each in document["series"]} == {5.0}


def test_a_caller_takes_nobody_elses_room_and_what_finds_none_is_counted(monkeypatch):
    monkeypatch.setattr(totals, "MOST_BYTES_EACH", room_for(2))
    monkeypatch.setattr(totals, "MOST_BYTES", room_for(4))
    found = Totals({"n"}, since=5.0, trusted={"own"})
    found.add([datum(name, 60, 1) for name in "abcc"], "loud", now=0.0)
    found.add([datum("d", 60, 1)], "quiet", now=0.0)
    assert (names(found), found.document()["left_out"]) == (["a", "b", "d"], 2)
    found.add([datum(name, 60, 1) for name in "efg"], "own", now=0.0)
    assert (names(found), found.document()["left_out"]) == (["a", "b", "d", "e"], 4)


def test_what_was_silent_for_hours_makes_room_where_it_is_needed(monkeypatch):
    monkeypatch.setattr(totals, "MOST_BYTES_EACH", room_for(2))
    found = Totals({"n"}, since=5.0)
    found.add([datum("a", 60, 1), datum("b", 60, 1)], "me", now=0.0)
    found.add([datum("x", 60, 1)], "other", now=0.0)
    later = totals.SILENT_AFTER
    found.add([datum("b", 120, 1)], "me", now=later - 1)
    assert names(found) == ["a", "b", "x"]
    found.add([datum("c", 120, 1)], "me", now=later)
    assert names(found) == ["b", "x", "c"]


def test_the_document_is_no_longer_than_its_bound(monkeypatch):
    monkeypatch.setattr(totals, "MOST_BYTES_EACH", 50_000)
    found = Totals({"n"}, since=1234567890.123456789)
    made = [datum("é\\" * 100 + str(number), 1234567890, -1.2345678901234567e-300) for number in range(1000)]
    found.add(made, "me", now=0.0)
    document = found.document()
    assert document["left_out"] > 0
    assert document["series"]
    assert len(json.dumps(document["series"])) <= 50_000
