from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.telemetry.metrics import alarms
from aerodrome.telemetry.metrics.alarms import ALARM, INSUFFICIENT, OK, AlarmState

ALARM_DOCUMENT = {
    "AlarmName": "late", "AlarmArn": "arn", "StateValue": OK, "StateReason": "", "ComparisonOperator":
    "GreaterThanThreshold", "Threshold": 10.0, "EvaluationPeriods": 3, "MetricName": "m", "Namespace": "n",
    "AlarmActions": ["arn:aws:sns:us-east-1:000000000000:t"], "Dimensions": [{"Name": "d", "Value": "v"}],
}  # fmt: skip

KINDS = ("missing", "ignore", "breaching", "notBreaching")


def values(marks):
    """From the documentation's signs, the newest last: 0 = within the threshold, X = beyond, - = missing."""
    return [{"0": 5.0, "X": 15.0, "-": None}[mark] for mark in reversed(marks.replace(" ", ""))]


def state(marks, treatment, needed=3):
    alarm = {**ALARM_DOCUMENT, "TreatMissingData": treatment, "DatapointsToAlarm": needed}
    return alarms.evaluated(alarm, values(marks)).name


@pytest.mark.parametrize(
    ("marks", "expected"),
    [  # CloudWatch's documentation: three of three periods
        ("0 - X - X", (OK, OK, OK, OK)),
        ("0 - - - -", (OK, OK, OK, OK)),
        ("- - - - -", (INSUFFICIENT, None, ALARM, OK)),
        ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("- - X - -", (ALARM, None, ALARM, OK)),
    ],
)
def test_three_of_three_as_documented(marks, expected):
    assert tuple(state(marks, kind) for kind in KINDS) == expected


@pytest.mark.parametrize(
    ("marks", "expected"),
    [  # two of three periods
        ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 - X - -", (OK, OK, ALARM, OK)),
        ("- - - - 0", (OK, OK, ALARM, OK)),
        ("- - - X -", (ALARM, None, ALARM, OK)),
    ],
)
def test_two_of_three_as_documented(marks, expected):
    assert tuple(state(marks, kind, needed=2) for kind in KINDS) == expected


@given(st.lists(st.sampled_from("0X"), min_size=5, max_size=5), st.sampled_from(KINDS), st.integers(1, 3))
def test_without_gaps_missing_data_does_not_matter(marks, kind, needed):
    assert state("".join(marks), kind, needed) == (ALARM if marks[-3:].count("X") >= needed else OK)


def test_a_topic_is_told_of_a_change_and_of_nothing_else():
    move = alarms.moved(ALARM_DOCUMENT, AlarmState(ALARM, "why"), now=1e9, region="us-east-1", account="0" * 12)
    (notice,) = move.notices
    message = json.loads(notice.message)
    assert notice.subject == 'ALARM: "late" in us-east-1'
    assert (message["OldStateValue"], message["NewStateValue"], message["NewStateReason"]) == (OK, ALARM, "why")
    assert message["Trigger"]["Dimensions"] == [{"name": "d", "value": "v"}]
    assert [item.kind for item in move.items] == ["StateUpdate"]

    again = alarms.moved(move.alarm, AlarmState(ALARM, "why"), now=2e9, region="us-east-1", account="0" * 12)
    stays = alarms.moved(move.alarm, AlarmState(None), now=2e9, region="us-east-1", account="0" * 12)
    silent = alarms.moved(
        {**ALARM_DOCUMENT, "ActionsEnabled": False}, AlarmState(ALARM, ""), now=1.0, region="", account=""
    )
    assert (again, stays, silent.notices) == (None, None, ())


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"Statistic": "Average"}, {"StatisticType": "Statistic", "Statistic": "AVERAGE"}),
        ({"Statistic": "SampleCount"}, {"StatisticType": "Statistic", "Statistic": "SAMPLE_COUNT"}),
        ({"ExtendedStatistic": "p99"}, {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": "p99"}),
        ({"Metrics": []}, {}),
    ],
)
def test_a_topic_is_told_the_statistic_in_its_own_words(more, expected):
    state = AlarmState(ALARM, "why")
    move = alarms.moved({**ALARM_DOCUMENT, **more}, state, now=1e9, region="us-east-1", account="0" * 12)
    trigger = json.loads(move.notices[0].message)["Trigger"]
    assert {name: value for name, value in trigger.items() if "Statistic" in name} == expected


def test_a_subject_is_one_that_sns_takes():
    named = {**ALARM_DOCUMENT, "AlarmName": "ü\n" * 100}
    move = alarms.moved(named, AlarmState(ALARM, ""), now=1.0, region="us-east-1", account="0" * 12)
    assert len(move.notices[0].subject) == 100
    assert move.notices[0].subject.isprintable()
