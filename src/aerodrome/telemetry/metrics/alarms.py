"""What state an alarm is in, from its last points: CloudWatch's rules of M of N and of missing data. Pure.

An alarm is a document as DescribeAlarms answers it.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aerodrome.telemetry.metrics.catalogue import AlarmMove, HistoryItem, Notice

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"

MISSING, IGNORE, BREACHING, NOT_BREACHING = "missing", "ignore", "breaching", "notBreaching"

TREATMENTS = frozenset({MISSING, IGNORE, BREACHING, NOT_BREACHING})

LOOKED_BACK = 2
"""Periods before the evaluation periods in which points are looked for, in the place of missing ones."""

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

_OWN = ("StateValue", "StateReason", "StateReasonData", "StateUpdatedTimestamp", "StateTransitionedTimestamp", "Tags")
"""What of an alarm stays when it is put once more."""

ACTIONS = {OK: "OKActions", ALARM: "AlarmActions", INSUFFICIENT: "InsufficientDataActions"}

Alarm = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AlarmState:
    """A state and why; None = it stays as it is."""

    name: str | None
    reason: str = ""


def window(alarm: Alarm) -> int:
    """How many periods are looked at."""
    return int(alarm["EvaluationPeriods"]) + LOOKED_BACK


def evaluated(alarm: Alarm, found: Sequence[float | None]) -> AlarmState:
    """The state of an alarm by the values of its last periods, the newest first; None = there is no value."""
    periods = int(alarm["EvaluationPeriods"])
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    treatment = alarm.get("TreatMissingData", MISSING)
    compare, threshold = COMPARISONS[alarm["ComparisonOperator"]], alarm["Threshold"]
    marks = [None if value is None else compare(value, threshold) for value in found]
    real = [mark for mark in marks if mark is not None][:periods]
    missing = periods - len(real)
    name = _state(marks[:periods], real, missing, needed, treatment)
    values = ", ".join(f"{value:g}" for value in found[:periods] if value is not None) or "none"
    told = f"{real.count(True)} of the last {periods} datapoints [{values}] breach the threshold ({threshold:g})"
    if missing:
        told += f"; {missing} are missing and are treated as {treatment}"
    return AlarmState(name, f"{told}; {needed} are needed for ALARM.")


def _state(
    recent: Sequence[bool | None], real: Sequence[bool], missing: int, needed: int, treatment: str
) -> str | None:
    breaching = real.count(True)
    if treatment == BREACHING:
        return ALARM if breaching + missing >= needed else OK
    if treatment == NOT_BREACHING:
        return ALARM if breaching >= needed else OK
    if breaching >= needed:
        return ALARM
    if not real:
        return None if treatment == IGNORE else INSUFFICIENT
    if missing and all(real) and _age_of_oldest(recent) >= needed:
        return None if treatment == IGNORE else ALARM
    return OK


def _age_of_oldest(recent: Sequence[bool | None]) -> int:
    """How many periods ago the oldest of the points was; 0 = there is none."""
    return max((number for number, mark in enumerate(recent, start=1) if mark is not None), default=0)


def put(before: Alarm | None, given: Alarm, *, arn: str, now: float) -> AlarmMove:
    """The alarm that somebody puts, in the place of the one of before; of that one stays what is not given."""
    kept = {name: before[name] for name in _OWN if name in before} if before else {
        "StateValue": INSUFFICIENT, "StateReason": "Unchecked: Initial alarm creation",
        "StateUpdatedTimestamp": now, "StateTransitionedTimestamp": now, "Tags": given.get("Tags", []),
    }  # fmt: skip
    alarm = {"ActionsEnabled": True, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": [],
             **given, **kept, "AlarmArn": arn, "AlarmConfigurationUpdatedTimestamp": now}  # fmt: skip
    if "Metrics" not in given:
        alarm.setdefault("Dimensions", [])
    what = "updated" if before else "created"
    summary = f'Alarm "{given["AlarmName"]}" {what}'
    return AlarmMove(alarm=alarm, items=(configured(alarm, summary, json.dumps({"type": what}), now=now),))


def switched(alarm: Alarm, *, is_on: bool, now: float) -> AlarmMove:
    """The alarm with its actions on or off."""
    summary = f'Alarm actions of "{alarm["AlarmName"]}" {"enabled" if is_on else "disabled"}'
    return AlarmMove(alarm={**alarm, "ActionsEnabled": is_on}, items=(configured(alarm, summary, now=now),))


def configured(alarm: Alarm, summary: str, data: str = "{}", *, now: float) -> HistoryItem:
    """What the history of alarms says when somebody has changed this one."""
    return HistoryItem(alarm["AlarmName"], now, "ConfigurationUpdate", summary, data)


def moved(
    alarm: Alarm, state: AlarmState, *, now: float, data: str = "", region: str, account: str
) -> AlarmMove | None:
    """The alarm in its new state; None = there is nothing to change."""
    before, told = alarm["StateValue"], alarm.get("StateReason")
    is_news = bool(data) or not told or (before == INSUFFICIENT and told != state.reason[:1023])
    if state.name is None or (state.name == before and not is_news):
        return None
    changed = {**alarm, "StateValue": state.name, "StateReason": state.reason[:1023], "StateUpdatedTimestamp": now}
    changed |= {"StateReasonData": data} if data else {}
    if state.name == before:
        return AlarmMove(alarm=changed)
    changed["StateTransitionedTimestamp"] = now
    name = alarm["AlarmName"]
    history = json.dumps({"version": "1.0", "oldState": {"stateValue": before}, "newState": {"stateValue": state.name,
                          "stateReason": state.reason[:1023]}})  # fmt: skip
    item = HistoryItem(name, now, "StateUpdate", f"Alarm updated from {before} to {state.name}", history)
    topics = alarm.get(ACTIONS[state.name], ()) if alarm.get("ActionsEnabled", True) else ()
    notices = tuple(_notice(changed, before, topic, now=now, region=region, account=account) for topic in topics)
    return AlarmMove(alarm=changed, items=(item,), notices=notices)


def _notice(alarm: Alarm, before: str, topic: str, *, now: float, region: str, account: str) -> Notice:
    """The message that CloudWatch sends to a topic."""
    trigger = {
        name: alarm[name]
        for name in ("MetricName", "Namespace", "ExtendedStatistic", "Unit", "Period", "EvaluationPeriods",
                     "DatapointsToAlarm", "ComparisonOperator", "Threshold", "TreatMissingData", "Metrics")
        if name in alarm
    }  # fmt: skip
    if "Statistic" in alarm:
        trigger |= {"StatisticType": "Statistic", "Statistic": _STATISTICS[alarm["Statistic"]]}
    elif "ExtendedStatistic" in alarm:
        trigger["StatisticType"] = "ExtendedStatistic"
    if "Dimensions" in alarm:
        trigger["Dimensions"] = [{"name": each["Name"], "value": each["Value"]} for each in alarm["Dimensions"]]
    at = datetime.fromtimestamp(now, UTC)
    message = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": account,
        "NewStateValue": alarm["StateValue"],
        "NewStateReason": alarm["StateReason"],
        "StateChangeTime": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        "Region": region,
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": before,
        "OKActions": alarm.get("OKActions", []),
        "AlarmActions": alarm.get("AlarmActions", []),
        "InsufficientDataActions": alarm.get("InsufficientDataActions", []),
        "Trigger": trigger,
    }
    subject = f'{alarm["StateValue"]}: "{alarm["AlarmName"]}" in {region}'
    return Notice(alarm["AlarmName"], topic, _subject(subject), json.dumps(message))


_STATISTICS = {"SampleCount": "SAMPLE_COUNT", "Average": "AVERAGE", "Sum": "SUM", "Minimum": "MINIMUM",
               "Maximum": "MAXIMUM"}  # fmt: skip
"""As messages to topics have them."""


def _subject(text: str) -> str:
    """What SNS takes as a subject: printable ASCII, a hundred characters."""
    return "".join(each if each.isascii() and each.isprintable() else "?" for each in text)[:100]
