"""The store of metrics on a real file: rolled, evicted, read, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import threading
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aerodrome.telemetry.metrics import alarms, periods, points
from aerodrome.telemetry.metrics import api as api_module
from aerodrome.telemetry.metrics import catalogue as catalogue_module
from aerodrome.telemetry.metrics.api import MetricsApi
from aerodrome.telemetry.metrics.catalogue import AlarmMove, Datum, HistoryItem, Metric, MetricCatalogue, Notice
from aerodrome.telemetry.metrics.evaluation import Evaluation, PublishError
from aerodrome.telemetry.metrics.periods import DAY, FIVE_MINUTES, HOUR, MINUTE
from aerodrome.telemetry.metrics.store import MetricStore
from aerodrome.telemetry.refusals import TelemetryRefusedError

M = Metric("n", "m", (("d", "v"),))
START = 1_800_000_000 - 1_800_000_000 % (30 * DAY)


ALARM = {
    "AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1,
    "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
}  # fmt: skip


def datum(moment: int, value: float, metric: Metric = M, unit: str = "Count") -> Datum:
    return Datum(metric, unit, periods.aligned(moment, MINUTE), points.of({value: 1.0}))


@pytest.fixture
def catalogue(tmp_path):
    with contextlib.closing(MetricCatalogue(tmp_path / "metrics.sqlite")) as found:
        yield found


def sums(catalogue, start, end, period, metric=M, unit=None):
    found = catalogue.read(metric, unit, start=start, end=end, period=period)
    return {at: point.sum for at, point in found.items()}


def roll(catalogue, before):
    while catalogue.roll(before):
        pass


def test_points_are_counted_once_wherever_they_are(catalogue):
    chance = random.Random(7)  # noqa: S311 - no secret
    moments = [START + chance.randrange(2 * DAY) for _ in range(500)]
    for number, moment in enumerate(moments):
        catalogue.add([datum(moment, 1.0)], "me")
        if number % 100 == 99:  # what comes late meets a block that is there already
            roll(catalogue, START + number * HOUR)
        for period in (MINUTE, FIVE_MINUTES, HOUR, DAY):
            if number % 50 == 0:
                found = sums(catalogue, START, START + 2 * DAY, period)
                assert sum(found.values()) == number + 1
    expected: dict[int, float] = {}
    for moment in moments:
        expected[periods.aligned(moment, MINUTE)] = expected.get(periods.aligned(moment, MINUTE), 0.0) + 1
    assert sums(catalogue, START, START + 2 * DAY, MINUTE) == dict(sorted(expected.items()))


def test_old_points_stay_at_longer_periods_as_in_cloudwatch(catalogue):
    catalogue.add([datum(START + MINUTE * number, 1.0) for number in range(2 * 24 * 60)], "me")
    roll(catalogue, START + 2 * DAY)
    at = lambda age: catalogue.evict(periods.expired(START + age))  # noqa: E731 - a word for a test
    at(16 * DAY)
    day = sums(catalogue, START, START + 2 * DAY, MINUTE)
    assert sum(day.values()) == 2 * 24 * 60
    assert set(list(day.values())[:100]) == {5.0}  # the first day: five minutes each
    assert list(day.values())[-1] == 1.0
    at(64 * DAY)
    assert set(list(sums(catalogue, START, START + 2 * DAY, MINUTE).values())[:10]) == {60.0}
    at(490 * DAY)
    assert sums(catalogue, START, START + 2 * DAY, HOUR) == {}
    assert catalogue.all_metrics(0) == []


def test_blocks_of_an_earlier_version_are_read_beside_those_of_this_one(catalogue, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(catalogue_module, "SPANS", periods.FORMER_SPANS)
        catalogue.add([datum(START + number * HOUR, 1.0) for number in range(5 * 24)], "me")
        roll(catalogue, START + 5 * DAY)
    catalogue.add([datum(START + number * HOUR, 1.0) for number in range(2 * 24, 7 * 24)], "me")
    roll(catalogue, START + 7 * DAY)
    found = sums(catalogue, START + DAY, START + 7 * DAY, HOUR)
    assert list(found.values()) == [1.0] * 24 + [2.0] * 3 * 24 + [1.0] * 2 * 24
    assert sum(sums(catalogue, START, START + 30 * DAY, DAY).values()) == 10 * 24


@pytest.mark.parametrize("is_rolled", [False, True])
def test_the_first_period_begins_with_the_start_and_nothing_counts_at_the_end(tmp_path, is_rolled):
    async def run() -> None:
        async with an_api(tmp_path) as (store, api):
            first = START - DAY
            every = [datum(first + number * MINUTE, 1.0) for number in range(24 * 60)]
            await store.ask(MetricCatalogue.add, every, "me")
            if is_rolled:
                await store.ask(lambda catalogue: roll(catalogue, START))
            wanted = {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "v"}]}
            for start, end, period, expected in (
                (7.5, 127, HOUR, {7: 60, 67: 60}),
                (0, 127, HOUR, {0: 60, 60: 60, 120: 7}),
                (7, 80.5, HOUR, {7: 60, 67: 14}),
                (60, 62, HOUR, {60: 2}),
                (3, 11, 5 * MINUTE, {3: 5, 8: 3}),
            ):
                asked = {"StartTime": first + start * MINUTE, "EndTime": first + end * MINUTE}
                data = await api.get_data({**asked, "ScanBy": "TimestampAscending", "MetricDataQueries": [
                    {"Id": "m1", "MetricStat": {"Metric": wanted, "Period": period, "Stat": "Sum"}},
                    {"Id": "e1", "Expression": "TIME_SERIES(0) + m1", "Period": period},
                ]})  # fmt: skip
                for each in data["MetricDataResults"]:
                    found = zip(each["Timestamps"], each["Values"], strict=True)
                    assert {(at - first) / MINUTE: value for at, value in found} == expected
                points = (await api.get_statistics({**wanted, **asked, "Period": period, "Statistics": ["Sum"]}))[
                    "Datapoints"
                ]
                assert {(each["Timestamp"] - first) / MINUTE: each["Sum"] for each in points} == expected

    asyncio.run(run())


def metric_query(identifier="m1", name="m", **more):
    metric = {"Namespace": "n", "MetricName": name, "Dimensions": [{"Name": "d", "Value": "v"}]}
    return {"Id": identifier, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, **more}


def test_a_query_without_points_leaves_others_their_data(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (store, api):
            await store.ask(MetricCatalogue.add, [datum(START - MINUTE, 3.0)], "me")
            asked = [
                metric_query(),
                metric_query("m2", "absent", ReturnData=False),
                {"Id": "e1", "Expression": "m1 - AVG(m2)"},
                {"Id": "e2", "Expression": "m1 * 0 + SUM(m1) / (SUM(m1) - 3)"},
            ]
            found = await api.get_data({"StartTime": START - HOUR, "EndTime": START, "MetricDataQueries": asked})
            assert {each["Id"]: each["Values"] for each in found["MetricDataResults"]} == {
                "m1": [3.0],
                "e1": [],
                "e2": [],
            }

    asyncio.run(run())


MATH = {name: ALARM[name] for name in ("AlarmName", "Threshold", "ComparisonOperator", "EvaluationPeriods")}


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("m9 > 1", "no query 'm9'"),
        ("e1 + 1", "about itself"),
        ("FOO(m1)", "FOO is not offered here"),
        ("IF(HOUR(m1) > 8, m1)", "HOUR is not offered here"),
        ("RATE(m1, 3, 4)", "too much"),
        ("AVG(m1)", "no time series"),
        ("IF(m1, 'a')", "number is expected"),
        ("[m1, m1]", "Exactly one time series"),
    ],
)
@pytest.mark.parametrize("is_returned", [True, False])
def test_an_expression_that_no_time_can_evaluate_makes_no_alarm(tmp_path, expression, told, is_returned):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            asked = [metric_query(ReturnData=False), {"Id": "e1", "Expression": expression, "ReturnData": is_returned}]
            if not is_returned:
                asked.append({"Id": "e2", "Expression": "SUM([e1, m1])"})
            with pytest.raises(TelemetryRefusedError, match=told):
                await api.put_alarm({**MATH, "Metrics": asked}, "me")

    if is_returned or told not in {"no time series", "Exactly one time series"}:  # which others may work with
        asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (metric_query("M1"), "lower-case letter"),
        (metric_query(Expression="m1"), "either MetricStat or Expression"),
    ],
)
def test_a_query_that_getmetricdata_refuses_makes_no_alarm(tmp_path, query, told):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            with pytest.raises(TelemetryRefusedError, match=told):
                await api.put_alarm({**MATH, "Metrics": [query]}, "me")

    asyncio.run(run())


def test_an_alarm_that_can_no_longer_be_evaluated_says_why_until_it_can(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (store, api):
            evaluation = Evaluation(store, lambda _: None, region="us-east-1", account="0" * 12)

            async def reason(expression):
                document = {**MATH, "StateValue": "INSUFFICIENT_DATA", "StateReason": "", "Metrics": [
                    metric_query(ReturnData=False), {"Id": "e1", "Expression": expression}]}  # fmt: skip
                (before,) = (await api.describe_alarms({}))["MetricAlarms"] or [document]
                move = AlarmMove(alarm={**before, "Metrics": document["Metrics"]})
                await store.ask(lambda catalogue: catalogue.put_alarms([move]))
                await evaluation.evaluate()
                (alarm,) = (await api.describe_alarms({}))["MetricAlarms"]
                assert alarm["StateValue"] == "INSUFFICIENT_DATA"
                return alarm["StateReason"]

            assert "[none]" in await reason("m1")
            assert await reason("FOO(m1)") == "The alarm cannot be evaluated: The function FOO is not offered here."
            assert "[none]" in await reason("m1 - AVG(m1)")
            assert (await api.describe_history({}))["AlarmHistoryItems"] == []
            await api.put_alarm({**MATH, "TreatMissingData": "notBreaching", "Metrics": [
                metric_query(ReturnData=False), {"Id": "e1", "Expression": "m1 - AVG(m1)"}]}, "me")  # fmt: skip
            await evaluation.evaluate()
            assert (await api.describe_alarms({}))["MetricAlarms"][0]["StateValue"] == "OK"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("more", "expression", "told"),
    [
        ({"MaxDatapoints": -5}, "m1", "MaxDatapoints must be 1 or more"),
        ({"MaxDatapoints": 0}, "m1", "MaxDatapoints must be 1 or more"),
        ({}, "SLICE(METRICS(), 0, 1e400)", "1e400 is too large"),
        ({}, "SEARCH('m', 'Sum', 0)", "multiple of 60"),
        ({"StartTime": 0.0, "EndTime": 1e9}, "TIME_SERIES(1)", "too many points"),
    ],
)
def test_numbers_that_nothing_can_be_made_of_are_refused(tmp_path, more, expression, told):
    async def run() -> None:
        async with an_api(tmp_path) as (store, api):
            await store.ask(MetricCatalogue.add, [datum(START - MINUTE, 3.0)], "me")
            asked = [metric_query(ReturnData=False), {"Id": "e1", "Expression": expression}]
            with pytest.raises(TelemetryRefusedError, match=told):
                await api.get_data({"StartTime": START - HOUR, "EndTime": START, "MetricDataQueries": asked} | more)

    asyncio.run(run())


def test_units_are_apart_and_together(catalogue):
    catalogue.add([datum(START, 1.0), datum(START, 2.0, unit="None")], "me")
    assert sums(catalogue, START, START + 60, 60) == {START: 3.0}
    assert sums(catalogue, START, START + 60, 60, unit="None") == {START: 2.0}
    assert catalogue.units(M) == ["Count", "None"]


def test_metrics_are_listed_once_whatever_their_units_and_some_at_a_time(catalogue):
    for unit in ("Count", "None"):
        catalogue.add([datum(START, 1.0, Metric("n", f"m{number}", ()), unit) for number in range(5)], "me")
    catalogue.add(
        [datum(START - DAY, 1.0, Metric("n", "m5", ())), datum(START, 1.0, Metric("n", "m5", ()), "None")], "me"
    )
    found, after = [], 0
    while page := catalogue.listed(namespace="n", name=None, since=START, after=after, limit=2):
        found += [metric.name for _, metric in page]
        after = page[-1][0]
    assert found == [f"m{number}" for number in range(6)]


def test_one_caller_cannot_take_the_room_of_all(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_SERIES_EACH", 3)
    crowd = [datum(START, 1.0, Metric("n", f"m{number}", ())) for number in range(4)]
    with pytest.raises(TelemetryRefusedError, match="No more metrics"):
        catalogue.add(crowd, "hostile")
    assert catalogue.all_metrics(0) == []  # all of a request or nothing
    catalogue.add(crowd[:3], "hostile")
    catalogue.add([datum(START, 1.0)], "another")
    catalogue.add(crowd[:3], "hostile")  # more points of known metrics


def content(catalogue):
    """All that a file says of points."""
    return [
        [tuple(row) for row in catalogue._db.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")]  # noqa: S608 - ours
        for table in ("series", "minutes", "blocks")
    ]


values = st.floats(-1e6, 1e6)
measured = st.one_of(
    st.dictionaries(values, st.just(1.0), min_size=1, max_size=60).map(points.of),
    st.tuples(values, values).map(lambda two: points.DataPoint(2.0, sum(two), min(two), max(two))),
)
sent = st.lists(
    st.builds(
        Datum,
        st.sampled_from([M, Metric("n", "other", ())]),
        st.sampled_from(["Count", "None"]),
        st.integers(0, 9).map(lambda minute: START + minute * MINUTE),
        measured,
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(sent, min_size=1, max_size=4), upkeep=st.sampled_from(["none", "rolled", "evicted", "opened"]))
def test_a_batch_is_what_its_points_are_one_by_one(tmp_path_factory, batches, upkeep):
    folder = tmp_path_factory.mktemp("batches")
    whole, single = (MetricCatalogue(folder / name) for name in ("whole", "single"))
    for batch in batches:
        whole.add(batch, "me")
        for each in batch:
            single.add([each], "me")
        for each in (whole, single):
            if upkeep in {"rolled", "evicted"}:
                roll(each, START + 5 * MINUTE)
            if upkeep == "evicted":
                each.evict([periods.Eviction(period, START + 60 * DAY) for period in periods.PERIODS])
        if upkeep == "opened":  # a process that knows no series yet
            whole.close()
            whole = MetricCatalogue(folder / "whole")
        assert content(whole) == content(single)
    whole.close()
    single.close()


def test_a_metric_that_was_forgotten_comes_again(catalogue):
    catalogue.add([datum(START, 1.0)], "me")
    roll(catalogue, START + DAY)
    catalogue.evict(periods.expired(START + 500 * DAY))
    assert catalogue.all_metrics(0) == []
    catalogue.add([datum(START + 500 * DAY, 2.0)], "me")
    assert catalogue.all_metrics(0) == [M]
    assert sums(catalogue, START + 500 * DAY, START + 501 * DAY, DAY) == {START + 500 * DAY: 2.0}


def test_nothing_of_a_request_that_failed_is_remembered(catalogue, monkeypatch):
    catalogue.add([datum(START, 1.0)], "me")
    monkeypatch.setattr(catalogue_module, "MOST_SERIES", 2)
    new = Metric("n", "new", ())
    with pytest.raises(TelemetryRefusedError, match="No more metrics"):
        catalogue.add([datum(START + MINUTE, 1.0), datum(START, 1.0, new), datum(START, 1.0, unit="None")], "me")
    catalogue.add([datum(START + MINUTE, 2.0), datum(START, 3.0, new)], "me")
    assert catalogue.all_metrics(START + MINUTE) == [M]
    assert sums(catalogue, START, START + HOUR, MINUTE) == {START: 1.0, START + MINUTE: 2.0}
    assert sums(catalogue, START, START + HOUR, MINUTE, metric=new) == {START: 3.0}


def test_series_are_remembered_within_a_bound(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_REMEMBERED", 100)
    crowd = [Metric("n", f"m{number}", ()) for number in range(50)]
    for minute in range(3):
        catalogue.add([datum(START + minute * MINUTE, 1.0, each) for each in crowd * 2], "me")
        assert len(catalogue._series) <= 10
    for each in crowd:
        assert sums(catalogue, START, START + HOUR, HOUR, metric=each) == {START: 6.0}


def test_the_store_stays_below_its_limit_and_loses_the_finest_first(tmp_path):
    async def run() -> None:
        now = datetime.fromtimestamp(START + 4 * DAY, UTC)
        store = await MetricStore(tmp_path, most_bytes=300_000, clock=lambda: now).open()
        chance = random.Random(3)  # noqa: S311 - no secret
        for hour in range(4 * 24):
            moments = [START + hour * HOUR + minute * MINUTE for minute in range(60)]
            data = [
                datum(moment, chance.random(), Metric("n", f"m{number}", ()))
                for moment in moments
                for number in range(4)
            ]
            await store.ask(MetricCatalogue.add, data, "me")
        await store.keep_once()
        assert await store.ask(MetricCatalogue.size) <= 300_000
        assert not store.is_full
        found = await store.ask(
            MetricCatalogue.read, Metric("n", "m1", ()), None, start=START, end=START + 4 * DAY, period=DAY
        )
        assert [point.count for point in found.values()] == [24 * 60] * 4  # coarser, but nothing of it is gone
        await store.close()

    asyncio.run(run())


def test_an_alarm_is_looked_at_each_minute_and_its_topic_hears_of_it_once(tmp_path):
    async def run() -> None:
        now, told, is_away = START + 90.0, [], [True]

        def publish(notice: Notice) -> None:
            if is_away.pop() if is_away else False:
                raise PublishError("away", is_final=False)
            told.append(json.loads(notice.message))

        store = await MetricStore(tmp_path, most_bytes=10**9, clock=lambda: datetime.fromtimestamp(now, UTC)).open()
        names = {"region": "us-east-1", "account": "0" * 12}
        api, evaluation = MetricsApi(store, **names), Evaluation(store, publish, **names)
        topic = f"arn:aws:sns:us-east-1:{'0' * 12}:t"
        await api.put_alarm({
            "AlarmName": "a", "Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "d", "Value": "v"}],
            "Statistic": "Sum", "Period": 120, "EvaluationPeriods": 2, "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": [topic], "OKActions": [topic],
        }, "me")  # fmt: skip
        states = []
        for minute in range(14):
            now = START + minute * MINUTE + 30.0
            await store.ask(MetricCatalogue.add, [datum(now - MINUTE, 4.0 if 3 <= minute < 9 else 1.0)], "me")
            await evaluation.evaluate()
            await evaluation.tell()
            (alarm,) = (await api.describe_alarms({}))["MetricAlarms"]
            states.append(alarm["StateValue"])
        assert [state for before, state in pairwise(["", *states]) if state != before] == ["OK", "ALARM", "OK"]
        assert states.index("ALARM") == 6  # two periods of two minutes end with the sixth
        assert [(each["OldStateValue"], each["NewStateValue"]) for each in told] == [
            ("INSUFFICIENT_DATA", "OK"), ("OK", "ALARM"), ("ALARM", "OK"),
        ]  # fmt: skip
        assert await store.ask(MetricCatalogue.outbox, is_retry=True) == []
        await store.close()

    asyncio.run(run())


ARN = f"arn:aws:cloudwatch:us-east-1:{'0' * 12}:alarm:a"

CHANGES = {
    "put": lambda api: api.put_alarm(ALARM, "me"),
    "switch": lambda api: api.disable_actions({"AlarmNames": ["a"]}),
    "tag": lambda api: api.tag({"ResourceARN": ARN, "Tags": [{"Key": "k", "Value": "v"}]}),
    "untag": lambda api: api.untag({"ResourceARN": ARN, "TagKeys": ["k"]}),
}


@contextlib.asynccontextmanager
async def an_api(folder):
    clock = lambda: datetime.fromtimestamp(START, UTC)  # noqa: E731 - a word for a test
    store = await MetricStore(folder, most_bytes=10**9, clock=clock).open()
    try:
        yield store, MetricsApi(store, region="us-east-1", account="0" * 12)
    finally:
        await store.close()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_happens_to_an_alarm_while_it_is_changed_stays(tmp_path, change):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            await api.put_alarm(ALARM, "me")
            state = {"AlarmName": "a", "StateValue": "ALARM", "StateReason": "by hand"}
            await asyncio.gather(change(api), api.set_state(state))
            (alarm,) = (await api.describe_alarms({}))["MetricAlarms"]
            assert alarm["StateValue"] == "ALARM"

    asyncio.run(run())


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_alarm_that_is_deleted_while_it_is_changed_is_gone(tmp_path, change):
    async def run() -> None:
        async with an_api(tmp_path) as (store, api):
            await api.put_alarm(ALARM, "me")
            await asyncio.gather(change(api), store.ask(MetricCatalogue.delete_alarms, ["a"], []))
            assert (await api.describe_alarms({}))["MetricAlarms"] == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"EvaluationInterval": 10}, "EvaluationInterval is not offered"),
        ({"EvaluationWindow": {"WallClockWindow": {}}}, "EvaluationWindow must be"),
        ({"EvaluateLowSampleCountPercentile": "ignore"}, "EvaluateLowSampleCountPercentile must be"),
        ({"ExtendedStatistic": "p99"}, "either Statistic or ExtendedStatistic"),
        ({"EvaluationPeriods": 1441}, "one day"),
        ({"Period": HOUR, "EvaluationPeriods": 169}, "seven days"),
        ({"Metrics": [metric_query()]}, "either Metrics or MetricName"),
        ({"Metrics": [metric_query()], "MetricName": "", "Namespace": ""}, "either Metrics or Period"),
    ],
)
def test_a_member_that_would_be_ignored_makes_no_alarm(tmp_path, more, told):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            with pytest.raises(TelemetryRefusedError, match=told):
                await api.put_alarm({**ALARM, **more}, "me")

    asyncio.run(run())


@pytest.mark.parametrize(
    "more",
    [
        {"EvaluationWindow": {"SlidingWindow": {}}, "EvaluateLowSampleCountPercentile": "evaluate"},
        {"EvaluationPeriods": 1440},
        {"Period": HOUR, "EvaluationPeriods": 168},
    ],
)
def test_a_member_that_says_what_is_done_anyway_may_be_given(tmp_path, more):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            await api.put_alarm({**ALARM, **more}, "me")

    asyncio.run(run())


def test_alarms_are_described_by_what_is_asked_for(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            percentile = {name: value for name, value in ALARM.items() if name != "Statistic"}
            await api.put_alarm({**percentile, "ExtendedStatistic": "p99"}, "me")
            metric = {"Namespace": "n", "MetricName": "m"}
            for statistic, expected in (("p99", 1), ("p50", 0)):
                found = await api.describe_alarms_of_metric({**metric, "ExtendedStatistic": statistic})
                assert len(found["MetricAlarms"]) == expected
            for member in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
                assert (await api.describe_alarms({member: "a"}))["MetricAlarms"] == []
            body = {"DashboardName": "d", "DashboardBody": '{"widgets": []}'}
            with pytest.raises(TelemetryRefusedError, match="Tags of dashboards"):
                await api.put_dashboard({**body, "Tags": [{"Key": "k", "Value": "v"}]})

    asyncio.run(run())


def test_a_name_that_no_alarm_has_keeps_no_other_from_being_deleted(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            await api.put_alarm(ALARM, "me")
            await api.delete_alarms({"AlarmNames": ["b", "a", "c"]})
            assert (await api.describe_alarms({}))["MetricAlarms"] == []

    asyncio.run(run())


def test_the_history_has_one_deletion_of_an_alarm(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            await api.put_alarm(ALARM, "me")
            await asyncio.gather(*(api.delete_alarms({"AlarmNames": ["a"]}) for _ in range(2)))
            told = [item["HistorySummary"] for item in (await api.describe_history({}))["AlarmHistoryItems"]]
            assert told == ['Alarm "a" deleted', 'Alarm "a" created']

    asyncio.run(run())


def test_an_alarm_has_fifty_tags_at_most(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            tags = [{"Key": f"k{number}", "Value": ""} for number in range(51)]
            with pytest.raises(TelemetryRefusedError, match="50 tags"):
                await api.put_alarm({**ALARM, "Tags": tags}, "me")
            await api.put_alarm({**ALARM, "Tags": tags[:50]}, "me")
            with pytest.raises(TelemetryRefusedError, match="50 tags"):
                await api.tag({"ResourceARN": ARN, "Tags": tags[50:]})
            for arn in (f"{ARN}b", ARN.replace("us-east-1", "us-east-2"), "a"):
                with pytest.raises(TelemetryRefusedError, match="no such alarm"):
                    await api.list_tags({"ResourceARN": arn})

    asyncio.run(run())


TOPIC = f"arn:aws:sns:us-east-1:{'0' * 12}:t"

ACTING = {**ALARM, "AlarmActions": [TOPIC], "OKActions": [TOPIC]}


async def flip(api, number):
    """Give the alarm another state."""
    state = ("OK", "ALARM")[number % 2]
    await api.set_state({"AlarmName": "a", "StateValue": state, "StateReason": str(number)})


def test_notices_that_wait_are_bounded_and_the_oldest_are_given_up(tmp_path, monkeypatch):
    async def run() -> None:
        monkeypatch.setattr(catalogue_module, "MOST_NOTICES", 3)
        async with an_api(tmp_path) as (store, api):
            await api.put_alarm(ACTING, "me")
            for number in range(5):
                await flip(api, number)
            waiting = [
                json.loads(each.message) for _, _, each in await store.ask(MetricCatalogue.outbox, is_retry=True)
            ]
            assert [each["NewStateReason"] for each in waiting] == ["2", "3", "4"]
            history = await api.describe_history({"HistoryItemType": "Action"})
            assert [item["HistorySummary"] for item in history["AlarmHistoryItems"]] == [
                f"Failed to execute action {TOPIC}: 3 others wait"
            ] * 2

    asyncio.run(run())


def test_what_happens_meanwhile_is_no_reason_to_try_again(tmp_path):
    async def run() -> None:
        tried = []

        def publish(notice: Notice) -> None:
            tried.append(json.loads(notice.message)["NewStateReason"])
            raise PublishError("away", is_final=False, is_away=is_away)

        async with an_api(tmp_path) as (store, api):
            evaluation = Evaluation(store, publish, region="us-east-1", account="0" * 12)
            await api.put_alarm(ACTING, "me")
            is_away = False
            for number in range(3):
                await flip(api, number)
                await evaluation.tell(is_retry=False)
            assert tried == ["0", "1", "2"]
            await flip(api, 3)
            await evaluation.tell()
            assert tried[3:] == ["3", "0", "1", "2"]  # what is new comes first
            tried.clear()
            is_away = True
            await evaluation.tell()
            assert len(tried) == 1  # no topic can be told

    asyncio.run(run())


def test_a_topic_that_does_not_answer_keeps_no_alarm_from_being_looked_at(tmp_path):
    async def run() -> None:
        is_asked, is_over = threading.Event(), threading.Event()

        def publish(_notice: Notice) -> None:
            is_asked.set()
            is_over.wait()

        async with an_api(tmp_path) as (store, api):
            await api.put_alarm(ACTING, "me")
            await flip(api, 0)
            running = asyncio.create_task(Evaluation(store, publish, region="us-east-1", account="0" * 12).run())
            try:
                await asyncio.to_thread(is_asked.wait)
                async with asyncio.timeout(60):
                    while (await api.describe_alarms({}))["MetricAlarms"][0]["StateValue"] == "OK":  # noqa: ASYNC110 - asks
                        await asyncio.sleep(0.01)
            finally:
                is_over.set()
                running.cancel()

    asyncio.run(run())


def test_an_alarm_that_no_topic_could_be_told_of_is_refused(tmp_path):
    async def run() -> None:
        async with an_api(tmp_path) as (_store, api):
            queries = [
                {"Id": f"m{number}", "Expression": "TIME_SERIES(1)", "Label": "x" * 16_000, "ReturnData": number == 0}
                for number in range(10)
            ]
            given = {
                name: ALARM[name] for name in ("AlarmName", "Threshold", "ComparisonOperator", "EvaluationPeriods")
            }
            with pytest.raises(TelemetryRefusedError, match="bytes"):
                await api.put_alarm({**given, "Metrics": queries}, "me")
            await api.put_alarm({**given, "Metrics": queries[:8]}, "me")

    asyncio.run(run())


def test_dashboards_and_alarms_push_no_points_out(tmp_path):
    async def run() -> None:
        now = datetime.fromtimestamp(START + 4 * DAY, UTC)
        store = await MetricStore(tmp_path, most_bytes=300_000, clock=lambda: now).open()
        api = MetricsApi(store, region="us-east-1", account="0" * 12)
        await store.ask(MetricCatalogue.add, [datum(START, 1.0)], "me")
        for number in range(6):
            body = json.dumps({"widgets": [], "text": "x" * 200_000})
            await api.put_dashboard({"DashboardName": f"d{number}", "DashboardBody": body})
            await api.put_alarm({**ALARM, "AlarmName": f"a{number}", "AlarmDescription": "x" * 100_000}, "me")
        await store.keep_once()
        found = await store.ask(MetricCatalogue.read, M, None, start=START, end=START + DAY, period=MINUTE)
        assert [point.sum for point in found.values()] == [1.0]
        assert not store.is_full
        await store.close()

    asyncio.run(run())


def test_dashboards_and_alarms_have_limits_of_their_own(tmp_path, monkeypatch):
    async def run() -> None:
        monkeypatch.setattr(catalogue_module, "DASHBOARDS_BYTES", 10_000)
        monkeypatch.setattr(catalogue_module, "ALARMS_BYTES", 10_000)
        async with an_api(tmp_path) as (_store, api):
            put = lambda name, size: api.put_dashboard(  # noqa: E731 - a word for a test
                {"DashboardName": name, "DashboardBody": json.dumps({"widgets": [], "é": "x" * size})}
            )
            await put("one", 6000)
            await put("one", 7000)  # in the place of the one of before
            with pytest.raises(TelemetryRefusedError, match="10000 bytes"):
                await put("two", 4000)
            await put("two", 1000)
            await api.put_alarm({**ALARM, "AlarmDescription": "x" * 5000}, "me")
            with pytest.raises(TelemetryRefusedError, match="10000 bytes"):
                await api.put_alarm({**ALARM, "AlarmName": "b", "AlarmDescription": "x" * 5000}, "me")
            assert len((await api.describe_alarms({}))["MetricAlarms"]) == 1

    asyncio.run(run())


def test_dashboards_are_listed_in_pages_without_their_bodies(tmp_path, monkeypatch):
    async def run() -> None:
        monkeypatch.setattr(api_module, "MOST_DASHBOARDS_LISTED", 2)
        async with an_api(tmp_path) as (_store, api):
            for name in ("b1", "a", "b3", "b2"):
                await api.put_dashboard({"DashboardName": name, "DashboardBody": '{"widgets": [], "é": 1}'})
            first = await api.list_dashboards({"DashboardNamePrefix": "b"})
            again = await api.list_dashboards({"DashboardNamePrefix": "b", "NextToken": first["NextToken"]})
            pages = [[entry["DashboardName"] for entry in page["DashboardEntries"]] for page in (first, again)]
            assert pages == [["b1", "b2"], ["b3"]]
            assert again["NextToken"] is None
            assert first["DashboardEntries"][0]["Size"] == len('{"widgets": [], "é": 1}'.encode())
            assert (await api.get_dashboard({"DashboardName": "a"}))["DashboardBody"] == '{"widgets": [], "é": 1}'

    asyncio.run(run())


def _write(path: str, told: str) -> None:
    found = MetricCatalogue(Path(path))
    for number in range(10**6):
        found.add([datum(START + number * MINUTE, 1.0)], "me")
        found.roll(START + number * MINUTE - 100 * MINUTE)
        os.write(int(told), b"%d\n" % number)


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path):
    path, (reading, writing) = tmp_path / "metrics.sqlite", os.pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_write, args=(str(path), str(writing)))
    process.start()
    try:
        with os.fdopen(reading, "rb") as lines:
            last = [int(lines.readline()) for _ in range(400)][-1]
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            os.close(writing)
            last = max([last, *(int(line) for line in lines.read().split(b"\n") if line.strip())])
    finally:
        process.kill()
        process.join()
    with contextlib.closing(MetricCatalogue(path)) as found:
        there = sums(found, START, START + 10**6 * MINUTE, MINUTE)
    assert set(there.values()) == {1.0}
    assert len(there) in {last + 1, last + 2}


def a_move(alarm: str, number: int, *, is_noticed: bool = True, size: int = 0) -> AlarmMove:
    """The alarm in another state."""
    item = HistoryItem(alarm, float(number), "StateUpdate", str(number), "{}")
    notices = (Notice(alarm, TOPIC, "s", str(number)),) if is_noticed else ()
    return AlarmMove(alarm={"AlarmName": alarm, "Text": "x" * size}, items=(item,), notices=notices)


def test_an_alarm_with_many_notices_takes_none_from_another(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_NOTICES", 4)
    catalogue.put_alarms([a_move("quiet", 0)])
    for number in range(1, 10):
        catalogue.put_alarms([a_move("busy", number)])
    waiting = [(each.alarm, each.message) for _, _, each in catalogue.outbox(is_retry=True)]
    assert waiting == [("quiet", "0"), ("busy", "7"), ("busy", "8"), ("busy", "9")]


def test_an_owner_of_many_alarms_takes_no_notice_and_no_history_from_another(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_NOTICES", 4)
    monkeypatch.setattr(catalogue_module, "MOST_HISTORY", 8)
    for number in range(2):
        catalogue.put_alarms([a_move("mine", number)], most=100, owner="me")
    for number in range(2, 20):
        name = f"theirs{number}"
        catalogue.put_alarms([a_move(name, number)], most=100, owner="hostile")
        catalogue.delete_alarms([name], [HistoryItem(name, float(number), "ConfigurationUpdate", "gone", "{}")])
    catalogue.put_alarms([a_move("mine", 20)])  # whose it is, is not said again when its state changes
    waiting = [(each.alarm, each.message) for _, _, each in catalogue.outbox(is_retry=True)]
    assert sorted(waiting) == [("mine", "1"), ("mine", "20"), ("theirs18", "18"), ("theirs19", "19")]
    kept = catalogue.history(alarm="mine", kind="StateUpdate", start=0.0, end=100.0)
    assert [each.summary for each in kept] == ["20", "1", "0"]


def test_owners_take_turns_in_what_topics_are_told(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "TOLD_AT_ONCE", 4)
    for number in range(50):
        catalogue.put_alarms([a_move(f"theirs{number}", number)], most=100, owner="hostile")
    for number in (50, 51):
        catalogue.put_alarms([a_move("mine", number)], most=100, owner="me")
    assert [each.message for _, _, each in catalogue.outbox(is_retry=False)] == ["0", "50", "1", "51"]


def test_a_file_of_an_earlier_version_gets_owners_of_alarms(tmp_path):
    path = tmp_path / "metrics.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as earlier, earlier:
        earlier.execute("CREATE TABLE alarms (name TEXT PRIMARY KEY, document TEXT NOT NULL)")
        earlier.execute("""INSERT INTO alarms VALUES ('mine', '{"AlarmName": "mine"}')""")
    for _ in range(2):
        with contextlib.closing(MetricCatalogue(path)) as found:
            found.put_alarms([a_move("mine", 1)], most=5, owner="me")
            assert [each["AlarmName"] for each in found.alarms(limit=5)] == ["mine"]


def test_alarms_are_described_page_by_page(tmp_path, monkeypatch):
    monkeypatch.setattr(api_module, "ALARMS_AT_ONCE", 3)

    async def pages(api, **asked) -> list[list[str]]:
        found, token = [], None
        while True:
            page = await api.describe_alarms({**asked, "MaxRecords": 4, **({"NextToken": token} if token else {})})
            found.append([each["AlarmName"] for each in page["MetricAlarms"]])
            if (token := page["NextToken"]) is None:
                return found

    async def run() -> None:
        async with an_api(tmp_path) as (_, api):
            names = [f"{letter}{number}" for letter in "aäb" for number in range(5)]
            for name in names:
                await api.put_alarm({**ALARM, "AlarmName": name}, "me")
            everything = sorted(names)
            assert await pages(api) == [everything[start : start + 4] for start in range(0, 15, 4)]
            assert await pages(api, AlarmNamePrefix="ä") == [["ä0", "ä1", "ä2", "ä3"], ["ä4"]]
            assert await pages(api, AlarmNamePrefix="b", StateValue="OK") == [[]]
            assert await pages(api, AlarmNames=["b1", "a1", "c"]) == [["a1", "b1"]]
            assert await pages(api, AlarmTypes=["CompositeAlarm"]) == [[]]
            await api.delete_alarms({"AlarmNames": ["ä4"]})
            assert await pages(api, AlarmNamePrefix="ä") == [["ä0", "ä1", "ä2", "ä3"]]
            with pytest.raises(TelemetryRefusedError):
                await api.describe_alarms({"NextToken": "_w=="})

    asyncio.run(run())


def test_an_alarm_with_a_long_history_takes_none_from_another(catalogue, monkeypatch):
    monkeypatch.setattr(catalogue_module, "MOST_HISTORY", 4)
    catalogue.put_alarms([a_move("quiet", 0, is_noticed=False)])
    for number in range(1, 10):
        catalogue.put_alarms([a_move("busy", number, is_noticed=False)])
    kept = catalogue.history(alarm=None, kind=None, start=0.0, end=100.0)
    assert [(each.alarm, each.summary) for each in kept] == [
        ("busy", "9"), ("busy", "8"), ("busy", "7"), ("quiet", "0")
    ]  # fmt: skip


def test_dashboards_beyond_a_new_bound_may_shrink_and_not_grow(catalogue, monkeypatch):
    for name in "ab":
        catalogue.put_dashboard(name, "x" * 100, now=0.0, most=5)
    monkeypatch.setattr(catalogue_module, "DASHBOARDS_BYTES", 50)
    catalogue.put_dashboard("a", "x" * 90, now=1.0, most=1)
    for name, body in (("a", "x" * 91), ("c", "")):
        with pytest.raises(TelemetryRefusedError):
            catalogue.put_dashboard(name, body, now=2.0, most=1)
    assert [each[0::2] for each in catalogue.dashboards("", after=0, limit=9)] == [("a", 90), ("b", 100)]


def test_an_alarm_beyond_a_new_bound_can_be_changed_and_not_grow(catalogue, monkeypatch):
    catalogue.put_alarms([a_move("large", 0, size=200)], most=5)
    monkeypatch.setattr(catalogue_module, "ALARM_BYTES", 100)
    monkeypatch.setattr(catalogue_module, "ALARMS_BYTES", 100)
    catalogue.put_alarms([a_move("large", 1, size=190)], most=5)
    (alarm,) = catalogue.alarms(limit=5)
    catalogue.put_alarms([alarms.switched(alarm, is_on=False, now=2.0)], most=5)
    with pytest.raises(TelemetryRefusedError, match="bytes"):
        catalogue.put_alarms([a_move("large", 3, size=2000)], most=5)
    assert catalogue.alarm("large")["ActionsEnabled"] is False


def looking_at(*expressions: str, metrics: int = 1) -> dict:
    """An alarm on the last of these expressions."""
    alarm = {key: ALARM[key] for key in ("AlarmName", "Threshold", "ComparisonOperator", "EvaluationPeriods")}
    stat = {"Metric": {"Namespace": "n", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    measured = [{"Id": f"m{number}", "MetricStat": stat, "ReturnData": False} for number in range(metrics)]
    worked_out = [{"Id": f"e{n}", "Expression": each, "ReturnData": False} for n, each in enumerate(expressions)]
    worked_out[-1]["ReturnData"] = True
    return {**alarm, "Metrics": [*measured, *worked_out]}


@pytest.mark.parametrize(
    ("alarm", "why"),
    [
        (looking_at("""SUM(SEARCH('MetricName="m"', 'Sum', 60))"""), "SEARCH is not supported on Metric Alarms"),
        (looking_at("SUM(METRICS())", metrics=11), "10 metrics"),
        (looking_at(*["m0"] * 11), "expressions"),
        (looking_at("m0 +"), "ends too early"),
        (looking_at("m0 +" * 500 + "1"), "signs"),
    ],
)
def test_an_alarm_that_costs_too_much_each_minute_is_refused(tmp_path, alarm, why):
    async def run() -> None:
        async with an_api(tmp_path) as (_, api):
            with pytest.raises(TelemetryRefusedError, match=why):
                await api.put_alarm(alarm, "me")
            await api.put_alarm(looking_at("SUM(METRICS())", "m0" + " + 1" * 300, metrics=10), "me")

    asyncio.run(run())
