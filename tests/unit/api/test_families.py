"""Totals of metrics as Prometheus' families."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from aerodrome.api import prometheus


def total(name: str, unit: str = "Count", **dimensions: str) -> dict[str, Any]:
    return {"namespace": "AmazonMWAA", "name": name, "dimensions": {"Environment": "demo", **dimensions}, "unit": unit,
            "count": 4.0, "sum": 6000.0, "minute": 6000.0, "last": 1500.0}  # fmt: skip


def shown(*totals: dict[str, Any]) -> tuple[set[tuple[str, str]], float]:
    """Name and type of each family, and how many series were left out; fails where a strict reader would."""
    registry = CollectorRegistry()
    registry.register(prometheus._Families(prometheus.families(totals)))
    text = generate_latest(registry).decode()
    types = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))
    found = [*text_string_to_metric_families(text)]
    samples = [(one.name, tuple(sorted(one.labels.items()))) for each in found for one in each.samples]
    assert len(samples) == len(set(samples))
    names = {name.removeprefix("aerodrome_airflow_") for name, _ in samples} - {"aerodrome_series_left_out"}
    assert not {name for name in names if name in types}  # no family is called as another's samples are
    left_out = {one.labels["reason"]: one.value for each in found for one in each.samples if "left_out" in one.name}
    kinds = {(each.name.removeprefix("aerodrome_airflow_"), each.type) for each in found}
    return kinds - {("aerodrome_series_left_out", "gauge")}, left_out["clash"]


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (total("DAGDurationSuccess", "Seconds"), total("DAGDurationSuccess", "Milliseconds"), "summary"),
        (total("CriticalSectionBusy_", "None", A="1"), total("CriticalSectionBusy", A="2"), "counter"),
        (total("CriticalSectionBusyTotal", "None"), total("CriticalSectionBusy"), "counter"),
        (total("DAGDurationSuccessSecondsSum", "None"), total("DAGDurationSuccess", "Milliseconds"), "summary"),
        (total("CriticalSectionBusy", "None"), total("CriticalSectionBusy"), "counter"),
        (total("queued_tasks"), total("QueuedTasks"), "gauge"),
        (total("QueuedTasks", DAG="d", dag="e"), total("QueuedTasks", DAG="f", dag="e"), "gauge"),
    ],
)
def test_names_that_clash_are_one_familys_and_mwaas_own_come_first(first, second, wins):
    for order in ((first, second), (second, first)):
        kinds, clashes = shown(*order)
        assert [kind for _, kind in kinds] == [wins]
        assert clashes == 1


def test_what_does_not_clash_is_all_there():
    kinds, clashes = shown(
        total("QueuedTasks"), total("CriticalSectionBusy"), total("DAGDurationSuccess", "Milliseconds")
    )
    assert {kind for _, kind in kinds} == {"gauge", "counter", "summary"}
    assert clashes == 0
