"""CloudWatch's operations on the store of metrics: a request in, an answer out.

Metrics, metric alarms, dashboards and tags of alarms are offered; of anything else the answer says so. Who may ask was
decided before.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from aerodrome.telemetry import wire
from aerodrome.telemetry.metrics import acceptance, alarms, expressions, periods, points, protocols, queries
from aerodrome.telemetry.metrics.acceptance import COMBINATION
from aerodrome.telemetry.metrics.alarms import AlarmState
from aerodrome.telemetry.metrics.catalogue import AlarmMove, Metric, MetricCatalogue
from aerodrome.telemetry.metrics.expressions import ExpressionError
from aerodrome.telemetry.metrics.protocols import Called, Document, MetricsFailure, Protocol, UnreadableError
from aerodrome.telemetry.metrics.queries import INVALID_VALUE, VALIDATION, QueriedSeries, Queries
from aerodrome.telemetry.metrics.rates import Rates
from aerodrome.telemetry.metrics.store import MetricStore
from aerodrome.telemetry.metrics.totals import Totals
from aerodrome.telemetry.refusals import INVALID, LIMIT, THROTTLED, UNAVAILABLE, TelemetryRefusedError

SCRAPED = frozenset({"AmazonMWAA", "AWS/MWAA"})
"""Namespaces whose totals are kept for scrapers."""

MOST_POINTS = 100_800
"""Of one answer to GetMetricData."""

MOST_STATISTICS_POINTS = 1440
"""Of one answer to GetMetricStatistics."""

MOST_LISTED = 500

MOST_ALARMS = 5000
MOST_DASHBOARDS = 5000
MOST_TAGS = 50

ALARMS_AT_ONCE = 100
"""That are read at once while many are looked through."""

MOST_DASHBOARDS_LISTED = 1000
"""Of one answer to ListDashboards."""

LONGEST_DASHBOARD = 500 * 1024

ACTIVE = 3 * periods.HOUR

NOT_FOUND = "ResourceNotFound"

DASHBOARD_INPUT = "InvalidParameterInput"

_DASHBOARD = re.compile(r"[A-Za-z0-9_-]{1,255}", re.ASCII)

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?", re.ASCII)

log = structlog.get_logger("telemetry")

Answer = Mapping[str, Any]

MOST_OF_ALARM = 10
"""Metrics that an alarm looks at, as on CloudWatch, and expressions: each is worked out every minute."""


class MetricsApi:
    """The service."""

    def __init__(self, store: MetricStore, *, region: str, account: str) -> None:
        self._store = store
        self._region = region
        self._account = account
        self._rates = Rates(time.monotonic)
        self.totals = Totals(SCRAPED, since=time.time(), trusted={acceptance.OWN_PARTS})

    async def answer(
        self, *, path: str, target: str, query: str, body: bytes, caller: str, request_id: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Status, headers and body for a request."""
        asked = Called(protocol=Protocol.QUERY, name="")
        try:
            asked = protocols.called(path, target, query, body)
            wanted = protocols.operation(asked.name)
            given = protocols.document(asked, wanted, body)
            output = await self._carried_out(wanted.name, _checked(wanted.input_shape, given), caller)
            answer = protocols.success(asked.protocol, wanted, output, request_id)
            return 200, protocols.headers(asked.protocol, None, 200), answer
        except UnreadableError as error:
            failure = MetricsFailure(code="InvalidAction" if not asked.name else VALIDATION, sentence=str(error))
        except TelemetryRefusedError as error:
            failure = MetricsFailure(code=_CODES.get(error.code, error.code), sentence=str(error))
        except Exception:
            log.exception("a request for metrics failed", operation=asked.name[:100])
            failure = MetricsFailure(
                code="InternalServiceError", sentence="The store of metrics failed; its log says why."
            )
        status, answer = protocols.failure(asked, failure, request_id)
        return status, protocols.headers(asked.protocol, failure, status), answer

    async def _carried_out(self, name: str, given: Document, caller: str) -> Answer:
        if name == "PutMetricData":
            return await self.put_data(given, caller)
        if name == "PutMetricAlarm":
            return await self.put_alarm(given, caller)
        if name not in OFFERED:
            raise TelemetryRefusedError(VALIDATION, f"{name} is not offered by the embedded CloudWatch.")
        return await OFFERED[name](self, given)

    async def put_data(self, given: Document, caller: str) -> Answer:
        """Take points."""
        acceptance.check_namespace(given["Namespace"], caller)
        data = given.get("MetricData", [])
        data = [*data, *(each for entity in given.get("EntityMetricData", ()) for each in entity.get("MetricData", ()))]
        if not data:
            raise TelemetryRefusedError("MissingParameter", "The parameter MetricData is required.")
        accepted = acceptance.accept(given["Namespace"], data, now=self._store.now)
        if self._store.is_full or not self._rates.allows(caller, len(data)):
            raise TelemetryRefusedError(THROTTLED, "Rate exceeded")
        await self._store.ask(MetricCatalogue.add, accepted, caller)
        self.totals.add(accepted, caller, now=time.monotonic())
        return {}

    async def get_data(self, given: Document) -> Answer:
        start, end = given["StartTime"], given["EndTime"]
        if start >= end:
            raise TelemetryRefusedError(VALIDATION, "The parameter StartTime must be less than the parameter EndTime.")
        if given.get("MaxDatapoints", MOST_POINTS) < 1:
            raise TelemetryRefusedError(VALIDATION, "The parameter MaxDatapoints must be 1 or more.")
        is_ascending = given.get("ScanBy") == "TimestampAscending"
        results = await self._store.ask(
            partial(_results, given["MetricDataQueries"], start=start, end=end, now=self._store.now)
        )
        return _page(results, is_ascending, _offset(given), min(given.get("MaxDatapoints", MOST_POINTS), MOST_POINTS))

    async def get_statistics(self, given: Document) -> Answer:
        start, end, period = given["StartTime"], given["EndTime"], given["Period"]
        names = [*given.get("Statistics", ()), *given.get("ExtendedStatistics", ())]
        if not names or start >= end:
            raise TelemetryRefusedError(
                COMBINATION, "Give Statistics or ExtendedStatistics, and a StartTime before the EndTime."
            )
        queries.check_period(period)
        for name in names:
            queries.check_statistic(name)
        if (end - start) / period > MOST_STATISTICS_POINTS:
            raise TelemetryRefusedError(
                COMBINATION,
                f"You have requested up to {(end - start) / period:.0f} datapoints, which exceeds the limit of"
                f" {MOST_STATISTICS_POINTS}. Give a longer Period, or less time.",
            )
        wanted = queries.metric(given)
        units = [given["Unit"]] if "Unit" in given else await self._store.ask(MetricCatalogue.units, wanted)
        first, last = periods.asked(start, end, self._store.now)
        shown: list[Document] = []
        for unit in units:
            found = await self._store.ask(
                MetricCatalogue.read, wanted, unit, start=first, end=last, period=period, phase=first % period
            )
            shown += [_datapoint(at, point, unit, names) for at, point in found.items()]
        return {"Label": given["MetricName"], "Datapoints": shown}

    async def list_metrics(self, given: Document) -> Answer:
        since = self._store.now - (ACTIVE if given.get("RecentlyActive") else queries.SEARCHED)
        wanted = [(each["Name"], each.get("Value")) for each in given.get("Dimensions", ())]
        after, is_more = _offset(given), True
        shown: list[Document] = []
        while is_more and len(shown) < MOST_LISTED:
            found = await self._store.ask(
                MetricCatalogue.listed,
                namespace=given.get("Namespace"),
                name=given.get("MetricName"),
                since=int(since),
                after=after,
                limit=MOST_LISTED,
            )
            is_more = len(found) == MOST_LISTED
            for number, metric in found:
                if len(shown) == MOST_LISTED:
                    is_more = True
                    break
                after = number
                if _has(metric, wanted):
                    shown.append(_listed(metric))
        return {"Metrics": shown, "NextToken": _token(after) if is_more else None}

    async def put_alarm(self, given: Document, caller: str) -> Answer:
        _check_alarm(given)
        name = given["AlarmName"]
        _check_tags(given.get("Tags", ()))

        def change(before: Document | None) -> AlarmMove:
            return alarms.put(before, given, arn=self._alarm_arn(name), now=self._store.now)

        await self._change([name], change, owner=caller)
        return {}

    async def describe_alarms(self, given: Document) -> Answer:
        prefix, action = given.get("AlarmNamePrefix", ""), given.get("ActionPrefix", "")
        if prefix and given.get("AlarmNames"):
            raise TelemetryRefusedError(VALIDATION, "AlarmNames and AlarmNamePrefix are mutually exclusive.")
        shown: list[Document] = []
        more = None
        if given.get("ChildrenOfAlarmName") or given.get("ParentsOfAlarmName"):
            return {"MetricAlarms": [], "CompositeAlarms": []}  # of composite alarms, of which there are none
        if "MetricAlarm" in given.get("AlarmTypes", ["MetricAlarm"]):
            async for alarm in self._alarms(given.get("AlarmNames"), prefix=prefix, after=_last_name(given)):
                if given.get("StateValue") not in {None, alarm["StateValue"]} or (
                    action and not any(topic.startswith(action) for topic in _actions(alarm))
                ):
                    continue
                if len(shown) == given.get("MaxRecords", 50):
                    more = _token(shown[-1]["AlarmName"])
                    break
                shown.append(alarm)
        return {"MetricAlarms": shown, "CompositeAlarms": [], "NextToken": more}

    async def describe_alarms_of_metric(self, given: Document) -> Answer:
        wanted = queries.metric(given)
        shown = [
            alarm
            async for alarm in self._alarms()
            if "MetricName" in alarm
            and queries.metric(alarm) == wanted
            and all(given[name] == alarm.get(name) for name in _COMPARED if name in given)
        ]
        return {"MetricAlarms": shown}

    async def delete_alarms(self, given: Document) -> Answer:
        await self._store.ask(partial(self._delete, given["AlarmNames"]))
        return {}

    def _delete(self, named: Sequence[str], catalogue: MetricCatalogue) -> None:
        """Runs in the catalogue's thread."""
        there = [alarm for name in dict.fromkeys(named) if (alarm := catalogue.alarm(name)) is not None]
        items = [
            alarms.configured(alarm, f'Alarm "{alarm["AlarmName"]}" deleted', now=self._store.now) for alarm in there
        ]
        catalogue.delete_alarms([alarm["AlarmName"] for alarm in there], items)

    async def set_state(self, given: Document) -> Answer:
        state, data = AlarmState(given["StateValue"], given["StateReason"]), given.get("StateReasonData", "")

        def change(alarm: Document | None) -> AlarmMove | None:
            if alarm is None:
                raise TelemetryRefusedError(NOT_FOUND, f"There is no alarm {given['AlarmName']!r}.")
            return alarms.moved(
                alarm, state, now=self._store.now, data=data, region=self._region, account=self._account
            )

        await self._change([given["AlarmName"]], change)
        self._store.untold.set()
        return {}

    async def enable_actions(self, given: Document) -> Answer:
        return await self._switch(given["AlarmNames"], is_on=True)

    async def disable_actions(self, given: Document) -> Answer:
        return await self._switch(given["AlarmNames"], is_on=False)

    async def _switch(self, named: Sequence[str], *, is_on: bool) -> Answer:
        def change(alarm: Document | None) -> AlarmMove | None:
            return None if alarm is None else alarms.switched(alarm, is_on=is_on, now=self._store.now)

        await self._change(named, change)
        return {}

    async def describe_history(self, given: Document) -> Answer:
        found = await self._store.ask(
            MetricCatalogue.history,
            alarm=given.get("AlarmName"),
            kind=given.get("HistoryItemType"),
            start=given.get("StartDate", 0.0),
            end=given.get("EndDate", self._store.now + periods.DAY),
        )
        if given.get("ScanBy") == "TimestampAscending":
            found = found[::-1]
        start, most = _offset(given), given.get("MaxRecords", 50)
        shown = [
            {"AlarmName": each.alarm, "AlarmType": "MetricAlarm", "Timestamp": each.moment,
             "HistoryItemType": each.kind, "HistorySummary": each.summary[:255], "HistoryData": each.data[:4095]}
            for each in found[start : start + most]
        ]  # fmt: skip
        more = _token(start + most) if len(found) > start + most else None
        return {"AlarmHistoryItems": shown, "NextToken": more}

    async def put_dashboard(self, given: Document) -> Answer:
        name, body = given["DashboardName"], given["DashboardBody"]
        if given.get("Tags"):
            raise TelemetryRefusedError(DASHBOARD_INPUT, "Tags of dashboards are not offered here: leave them out.")
        if not _DASHBOARD.fullmatch(name):
            raise TelemetryRefusedError(DASHBOARD_INPUT, "A DashboardName has letters, digits, - and _, 255 at most.")
        if len(body.encode()) > LONGEST_DASHBOARD or not _is_dashboard(body):
            raise TelemetryRefusedError(
                DASHBOARD_INPUT, "The DashboardBody must be a JSON object with a list of widgets."
            )
        await self._store.ask(MetricCatalogue.put_dashboard, name, body, now=self._store.now, most=MOST_DASHBOARDS)
        return {"DashboardValidationMessages": []}

    async def get_dashboard(self, given: Document) -> Answer:
        name = given["DashboardName"]
        body = await self._store.ask(MetricCatalogue.dashboard, name)
        if body is None:
            raise TelemetryRefusedError(NOT_FOUND, f"Dashboard {name} does not exist")
        return {"DashboardName": name, "DashboardBody": body, "DashboardArn": self._dashboard_arn(name)}

    async def list_dashboards(self, given: Document) -> Answer:
        start, most = _offset(given), MOST_DASHBOARDS_LISTED
        found = await self._store.ask(
            MetricCatalogue.dashboards, given.get("DashboardNamePrefix", ""), after=start, limit=most + 1
        )
        shown = [
            {"DashboardName": name, "DashboardArn": self._dashboard_arn(name), "LastModified": changed, "Size": size}
            for name, changed, size in found[:most]
        ]
        return {"DashboardEntries": shown, "NextToken": _token(start + most) if len(found) > most else None}

    async def delete_dashboards(self, given: Document) -> Answer:
        missing = await self._store.ask(MetricCatalogue.delete_dashboards, given["DashboardNames"])
        if missing:
            raise TelemetryRefusedError(NOT_FOUND, f"There is no dashboard {missing[0]!r}; none was deleted.")
        return {}

    async def tag(self, given: Document) -> Answer:
        more = {each["Key"]: each["Value"] for each in given["Tags"]}
        await self._change_tags(given["ResourceARN"], lambda tags: tags | more)
        return {}

    async def untag(self, given: Document) -> Answer:
        gone = set(given["TagKeys"])
        await self._change_tags(
            given["ResourceARN"], lambda tags: {key: value for key, value in tags.items() if key not in gone}
        )
        return {}

    async def list_tags(self, given: Document) -> Answer:
        return {"Tags": _tagged(await self._store.ask(MetricCatalogue.alarm, self._named(given["ResourceARN"])))}

    async def _change_tags(self, arn: str, changed: Callable[[dict[str, str]], dict[str, str]]) -> None:
        def change(alarm: Document | None) -> AlarmMove:
            tags = changed({each["Key"]: each["Value"] for each in _tagged(alarm)})
            written = [{"Key": key, "Value": value} for key, value in tags.items()]
            _check_tags(written)
            return AlarmMove(alarm={**(alarm or {}), "Tags": written})

        await self._change([self._named(arn)], change)

    async def _change(
        self, named: Sequence[str], change: Callable[[Document | None], AlarmMove | None], *, owner: str | None = None
    ) -> None:
        """Store alarms as `change` makes them of what they are; nobody else changes them between.

        None: whose they are stays as it is.

        Raises:
            TelemetryRefusedError: `change` says so, or there would be too many.
        """
        await self._store.ask(partial(_carried_over, named, change, owner=owner))

    async def _alarms(
        self, named: Sequence[str] | None = None, *, prefix: str = "", after: str = ""
    ) -> AsyncIterator[Document]:
        """Those after a name, in the order of their names; read some at a time, so that others are answered between."""
        if named:
            for name in sorted(set(named)):
                if name > after and (alarm := await self._store.ask(MetricCatalogue.alarm, name)) is not None:
                    yield alarm
            return
        while found := await self._store.ask(MetricCatalogue.alarms, prefix=prefix, after=after, limit=ALARMS_AT_ONCE):
            for alarm in found:
                yield alarm
            after = found[-1]["AlarmName"]

    def _alarm_arn(self, name: str) -> str:
        return f"arn:aws:cloudwatch:{self._region}:{self._account}:alarm:{name}"

    def _named(self, arn: str) -> str:
        """The name of the alarm of an ARN; of anything else, what no alarm is called."""
        return arn.removeprefix(before) if arn.startswith(before := self._alarm_arn("")) else ""

    def _dashboard_arn(self, name: str) -> str:
        return f"arn:aws:cloudwatch::{self._account}:dashboard/{name}"


OFFERED: Mapping[str, Callable[[MetricsApi, Document], Awaitable[Answer]]] = {
    "DeleteAlarms": MetricsApi.delete_alarms,
    "DeleteDashboards": MetricsApi.delete_dashboards,
    "DescribeAlarmHistory": MetricsApi.describe_history,
    "DescribeAlarms": MetricsApi.describe_alarms,
    "DescribeAlarmsForMetric": MetricsApi.describe_alarms_of_metric,
    "DisableAlarmActions": MetricsApi.disable_actions,
    "EnableAlarmActions": MetricsApi.enable_actions,
    "GetDashboard": MetricsApi.get_dashboard,
    "GetMetricData": MetricsApi.get_data,
    "GetMetricStatistics": MetricsApi.get_statistics,
    "ListDashboards": MetricsApi.list_dashboards,
    "ListMetrics": MetricsApi.list_metrics,
    "ListTagsForResource": MetricsApi.list_tags,
    "PutDashboard": MetricsApi.put_dashboard,
    "SetAlarmState": MetricsApi.set_state,
    "TagResource": MetricsApi.tag,
    "UntagResource": MetricsApi.untag,
}
"""By operation, beside PutMetricData and PutMetricAlarm, of which it counts who asks."""

_CODES = {INVALID: VALIDATION, LIMIT: "LimitExceeded", UNAVAILABLE: "ServiceUnavailable", THROTTLED: "Throttling"}
"""Words of the store of logs → CloudWatch's."""


def _carried_over(
    named: Sequence[str],
    change: Callable[[Document | None], AlarmMove | None],
    catalogue: MetricCatalogue,
    *,
    owner: str | None,
) -> None:
    """Runs in the catalogue's thread, in one go."""
    moves = [change(catalogue.alarm(name)) for name in dict.fromkeys(named)]
    catalogue.put_alarms([move for move in moves if move is not None], most=MOST_ALARMS, owner=owner)


def _tagged(alarm: Document | None) -> list[Document]:
    """Its tags."""
    if alarm is None:
        raise TelemetryRefusedError("ResourceNotFoundException", "There is no such alarm; only alarms have tags here.")
    found: list[Document] = alarm.get("Tags", [])
    return found


def _check_tags(tags: Sequence[Document]) -> None:
    if len(tags) > MOST_TAGS:
        raise TelemetryRefusedError(INVALID_VALUE, f"An alarm may have {MOST_TAGS} tags.")


def _checked(shape: Any, given: Document) -> Document:
    """What the model says of the members."""
    found: Document = wire.checked(shape, given) if shape is not None else {}
    return found


def _results(
    asked: Sequence[Document], catalogue: MetricCatalogue, *, start: float, end: float, now: float
) -> list[QueriedSeries]:
    return Queries(catalogue, asked, start=start, end=end, now=now).results()


def _page(results: Sequence[QueriedSeries], is_ascending: bool, offset: int, most: int) -> Answer:  # noqa: FBT001 - a pair
    """Points from `offset` on, counted through all series, and a token when there are more than `most`."""
    shown, passed, left = [], 0, most
    for result in results:
        ordered = sorted(result.series.points.items(), reverse=not is_ascending)
        part = ordered[max(offset - passed, 0) : max(offset - passed, 0) + left]
        passed += len(ordered)
        left -= len(part)
        if part or (not offset and not ordered):
            is_whole = len(part) == len(ordered) or passed <= offset + most
            shown.append({
                "Id": result.identifier, "Label": result.series.label,
                "Timestamps": [at for at, _ in part], "Values": [value for _, value in part],
                "StatusCode": "Complete" if is_whole else "PartialData",
            })  # fmt: skip
    more = _token(offset + most) if passed > offset + most else None
    return {"MetricDataResults": shown, "NextToken": more, "Messages": []}


def _datapoint(at: int, point: points.DataPoint, unit: str, names: Sequence[str]) -> Document:
    simple = {name: points.statistic(point, name) for name in names if name in points.SIMPLE}
    others = {name: points.statistic(point, name) for name in names if name not in points.SIMPLE}
    told = {name: value for name, value in others.items() if value is not None}
    return {"Timestamp": at, "Unit": unit, **simple, **({"ExtendedStatistics": told} if others else {})}


def _has(metric: Metric, wanted: Sequence[tuple[str, str | None]]) -> bool:
    known = dict(metric.dimensions)
    return all(name in known and value in {None, known[name]} for name, value in wanted)


def _listed(metric: Metric) -> Document:
    dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
    return {"Namespace": metric.namespace, "MetricName": metric.name, "Dimensions": dimensions}


def _actions(alarm: Document) -> list[str]:
    return [topic for name in alarms.ACTIONS.values() for topic in alarm.get(name, ())]


def _check_alarm(given: Document) -> None:
    """Raise TelemetryRefusedError when it is no alarm that can be evaluated here."""
    if given.get("ComparisonOperator") not in alarms.COMPARISONS or "Threshold" not in given:
        raise TelemetryRefusedError(
            VALIDATION, "Give a Threshold and one of these ComparisonOperators: " + ", ".join(alarms.COMPARISONS) + "."
        )
    _check_members(given)
    evaluated = int(given.get("EvaluationPeriods", 0))
    if not 1 <= given.get("DatapointsToAlarm", evaluated) <= evaluated:
        raise TelemetryRefusedError(
            VALIDATION, "EvaluationPeriods must be given, and DatapointsToAlarm must not be more."
        )
    if given.get("TreatMissingData", alarms.MISSING) not in alarms.TREATMENTS:
        raise TelemetryRefusedError(
            VALIDATION, f"TreatMissingData must be one of {', '.join(sorted(alarms.TREATMENTS))}."
        )
    wrong = [topic for topic in _actions(given) if not _TOPIC.fullmatch(topic)]
    if wrong:
        raise TelemetryRefusedError(
            VALIDATION, f"The action {wrong[0][:100]} is not offered here: give ARNs of SNS topics."
        )
    _check_looked_at(alarm_queries(given), evaluated)


def _check_members(given: Document) -> None:
    """Raise TelemetryRefusedError when one is given that would mean nothing here."""
    for name in ("EvaluationCriteria", "EvaluationInterval", "ThresholdMetricId", "WarmUpConfiguration"):
        if name in given:
            raise TelemetryRefusedError(VALIDATION, f"{name} is not offered by the embedded CloudWatch: leave it out.")
    for name, offered in (
        ("EvaluationWindow", {"SlidingWindow": {}}),
        ("EvaluateLowSampleCountPercentile", "evaluate"),
    ):
        if given.get(name, offered) != offered:
            raise TelemetryRefusedError(
                VALIDATION, f"{name} must be {json.dumps(offered)} in the embedded CloudWatch: leave it out."
            )
    if "Statistic" in given and "ExtendedStatistic" in given:
        raise TelemetryRefusedError(VALIDATION, "Give either Statistic or ExtendedStatistic.")
    wrong = [name for name in _OF_ONE_METRIC if given.get(name)] if given.get("Metrics") else []
    if wrong:
        raise TelemetryRefusedError(VALIDATION, f"Give either Metrics or {wrong[0]}.")


_COMPARED = ("Statistic", "ExtendedStatistic", "Period", "Unit")
"""What DescribeAlarmsForMetric may be given beside the metric."""

_OF_ONE_METRIC = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")
"""Members of PutMetricAlarm that describe the metric of an alarm without Metrics."""


def _check_looked_at(asked: Sequence[Document], evaluated: int) -> None:
    longest = max((each["MetricStat"]["Period"] for each in asked if "MetricStat" in each), default=60)
    if evaluated * longest > (periods.DAY if longest < periods.HOUR else 7 * periods.DAY):
        raise TelemetryRefusedError(
            VALIDATION,
            "Period times EvaluationPeriods must not be more than seven days, or one day if the Period is less than an"
            " hour.",
        )
    returned = [each for each in asked if each.get("ReturnData", True)]
    if len(returned) != 1:
        raise TelemetryRefusedError(VALIDATION, "Exactly one of the Metrics must have ReturnData.")
    metrics = [each["MetricStat"] for each in asked if "MetricStat" in each]
    if max(len(metrics), len(asked) - len(metrics)) > MOST_OF_ALARM:
        raise TelemetryRefusedError(
            VALIDATION, f"An alarm may look at {MOST_OF_ALARM} metrics, and have as many expressions on them."
        )
    for each in asked:
        if "MetricStat" not in each:
            _check_expression(each.get("Expression", ""))
    end = 3 * longest  # some periods are enough to see whether there is a value
    Queries(queries.OnePoint(), asked, start=0, end=end, now=end, sliding=end).check()


def _check_expression(text: str) -> None:
    try:
        called = set(expressions.calls(expressions.read(text)))
    except ExpressionError as error:
        raise TelemetryRefusedError(VALIDATION, str(error)) from error
    if "SEARCH" in called:
        raise TelemetryRefusedError(VALIDATION, "SEARCH is not supported on Metric Alarms")


def alarm_queries(alarm: Document) -> list[Document]:
    """What an alarm looks at, as queries of GetMetricData.

    Raises:
        TelemetryRefusedError: it names no metric, or more than one way.
    """
    if alarm.get("Metrics"):
        if "MetricName" in alarm:
            raise TelemetryRefusedError(VALIDATION, "Give either Metrics or MetricName.")
        return list(alarm["Metrics"])
    statistic = alarm.get("Statistic") or alarm.get("ExtendedStatistic")
    if not statistic or not {"MetricName", "Namespace", "Period"} <= set(alarm):
        raise TelemetryRefusedError(VALIDATION, "Give Metrics, or MetricName, Namespace, Period and a statistic.")
    wanted = {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions") if name in alarm}
    stat = {"Metric": wanted, "Period": alarm["Period"], "Stat": statistic}
    return [{"Id": "m1", "MetricStat": stat | ({"Unit": alarm["Unit"]} if "Unit" in alarm else {})}]


def _is_dashboard(body: str) -> bool:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and isinstance(found.get("widgets"), list)


def _token(last: int | str) -> str:
    return base64.urlsafe_b64encode(str(last).encode()).decode()


def _last(given: Document) -> str | None:
    """What `_token` has written; None without one."""
    try:
        return base64.urlsafe_b64decode(given["NextToken"].encode()).decode() if given.get("NextToken") else None
    except ValueError:
        raise _no_token() from None


def _last_name(given: Document) -> str:
    return _last(given) or ""


def _offset(given: Document) -> int:
    last = _last(given)
    if last is None:
        return 0
    try:
        number = int(last)
    except ValueError:
        raise _no_token() from None
    if not 0 <= number < 2**53:
        raise _no_token()
    return number


def _no_token() -> TelemetryRefusedError:
    return TelemetryRefusedError("InvalidNextToken", "The NextToken is none that was given out.")
