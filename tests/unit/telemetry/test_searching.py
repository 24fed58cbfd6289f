from __future__ import annotations

import pytest

from aerodrome.telemetry.metrics import searching
from aerodrome.telemetry.metrics.catalogue import Metric
from aerodrome.telemetry.metrics.searching import SearchError

QUEUED = Metric("AmazonMWAA", "QueuedTasks", (("Environment", "one"), ("Function", "Executor")))
CPU = Metric("AWS/MWAA", "CPUUtilization", (("Cluster", "BaseWorker"), ("Environment", "two")))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [QUEUED, CPU]),
        ("{AmazonMWAA,Function,Environment}", [QUEUED]),
        ("{AmazonMWAA,Function}", []),
        ("{AWS/MWAA} worker", [CPU]),
        ('MetricName="QueuedTasks"', [QUEUED]),
        ('MetricName="Queued"', []),
        ("MetricName=queued", [QUEUED]),
        ("Environment=one OR Environment=two", [QUEUED, CPU]),
        ("Environment=one AND NOT Function=Executor", []),
        ("NOT (Environment=one)", [CPU]),
        ('"BaseWorker"', [CPU]),
        ("cpu utilization", [CPU]),
        ('Namespace="AWS/MWAA" base', [CPU]),
    ],
)
def test_what_searches_find(text, found):
    test = searching.read(text)
    assert [each for each in (QUEUED, CPU) if test(each)] == found


@pytest.mark.parametrize("text", ["(", "a)", "NOT", "a OR", '"', "(" * 500])
def test_what_is_no_search_is_told(text):
    with pytest.raises(SearchError):
        searching.read(text)
