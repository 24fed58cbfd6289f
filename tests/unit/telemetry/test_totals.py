from __future__ import annotations

from aerodrome.telemetry.metrics import points, totals
from aerodrome.telemetry.metrics.catalogue import Datum, Metric
from aerodrome.telemetry.metrics.totals import Totals


def datum(name: str, minute: int, *values: float, namespace: str = "n") -> Datum:
    return Datum(Metric(namespace, name, (("d", "v"),)), "Count", minute, points.of(dict.fromkeys(values, 1.0)))


def test_totals_rise_and_the_last_minute_counts(monkeypatch):
    monkeypatch.setattr(totals, "MOST_TOTALS", 2)
    found = Totals({"n"}, since=5.0)
    found.add([datum("a", 120, 1, 3), datum("a", 60, 10), datum("b", 60, 5), datum("c", 60, 1)])
    found.add([datum("a", 180, 7), datum("other", 60, 1, namespace="m")])
    assert [(each["name"], each["count"], each["sum"], each["minute"], each["last"]) for each in found.document()] == [
        ("a", 4, 21, 180, 7),
        ("b", 1, 5, 60, 5),
    ]
    assert {each["since"] for each in found.document()} == {5.0}
