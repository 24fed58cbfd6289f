from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aerodrome.airflow import published_metrics
from aerodrome.cli import metrics_query, recommended_alarms
from aerodrome.cli.metrics_query import AVERAGE, DIMENSIONS, SUM
from aerodrome.cli.recommended_alarms import ALARMS
from aerodrome.errors import CallerError
from aerodrome.sidecar.metrics import measuring
from aerodrome.telemetry.metrics import searching

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def result(statistic, name, values, namespace="AmazonMWAA", **dimensions):
    told = [dimensions.get(each, "") for each in DIMENSIONS]
    return {
        "Label": "\t".join([namespace, statistic, name, *told, ""]),
        "Timestamps": [START + timedelta(minutes=number) for number in range(len(values))],
        "Values": values,
    }


def test_counters_are_summed_and_everything_else_is_averaged():
    found = metrics_query.shown([
        result(statistic, name, [1.0, 3.0], Environment="one")
        for name in ("TaskInstanceFinished", "OpenSlots")
        for statistic in (SUM, AVERAGE)
    ])  # fmt: skip
    assert [(each.name, each.statistic, each.total, each.last) for each in found] == [
        ("OpenSlots", AVERAGE, 2.0, 3.0),
        ("TaskInstanceFinished", SUM, 4.0, 3.0),
    ]
    assert found[0].dimensions == {"Environment": "one"}


def test_pages_of_one_series_become_one():
    pages = [
        result(SUM, "JobStart", [1.0]),
        {**result(SUM, "JobStart", [2.0]), "Timestamps": [START + timedelta(hours=1)]},
    ]
    (found,) = metrics_query.shown(pages)
    assert list(found.points.values()) == [1.0, 2.0]


def test_every_dimension_that_is_published_is_asked_for():
    published = {name for metric in published_metrics.METRICS for name, _ in metric.dimensions}
    assert published | {dimension for _, dimension, _ in measuring.METRICS} | {"Environment"} == set(DIMENSIONS)


def test_queries_find_what_is_asked_for_and_take_no_other_text():
    for query in metrics_query.queries("my-env", "QueuedTasks", 60):
        searching.read(query["Expression"].split("'")[1])
    with pytest.raises(CallerError, match="no name"):
        metrics_query.queries("a' OR 'b", None, 60)


@pytest.mark.parametrize(
    ("values", "course"),
    [
        ({0.0: 0.0, 60.0: 4.0, 180.0: 8.0}, "▁▅ █"),
        ({0.0: 5.0, 60.0: 5.0}, "██  "),
        ({0.0: 0.0}, "▁   "),
        ({}, "    "),
    ],
)
def test_a_sparkline_has_a_place_for_each_period(values, course):
    assert metrics_query.sparkline(values, 0.0, 239.0, 60) == course


def test_a_question_begins_where_the_first_bar_does():
    start = datetime.fromtimestamp(86_400 + 12_345.6, UTC)
    assert metrics_query.first(start, 3600).timestamp() == 86_400 + 3 * 3600


@pytest.mark.parametrize(
    ("seconds", "period"), [(1, 60), (3600, 60), (86_400, 3600), (7 * 86_400, 180 * 60), (1e9, 86_400)]
)
def test_periods_are_such_that_the_course_fits(seconds, period):
    assert metrics_query.period(seconds) == period


def test_the_recommended_alarms_are_about_metrics_that_are_there():
    assert len(ALARMS) == 10
    published = {(published_metrics.NAMESPACE, each.name, each.dimensions[0]) for each in published_metrics.METRICS}
    measured = {(measuring.NAMESPACE, name, dimension) for name, dimension, _ in measuring.METRICS}
    for each in ALARMS:
        whole = (each.namespace, each.metric, each.dimension)
        assert whole in published or (*whole[:2], each.dimension[0]) in measured
    names = {recommended_alarms.name_of("my-env", each) for each in ALARMS}
    assert len(names) == 10
