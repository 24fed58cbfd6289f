"""Which points of one PutMetricData request are taken: CloudWatch's limits of time, value and form. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aerodrome.telemetry.metrics import periods, points
from aerodrome.telemetry.metrics.catalogue import Datum
from aerodrome.telemetry.metrics.periods import MINUTE
from aerodrome.telemetry.metrics.points import DataPoint
from aerodrome.telemetry.metrics.queries import INVALID_VALUE, metric
from aerodrome.telemetry.refusals import TelemetryRefusedError

RESERVED = "AWS/"
"""What namespaces of AWS's services begin with; nobody but a service writes there."""

OWN_PARTS = "AKIAAERODROMEOWNPARTS"
"""The key id that the door puts in the place of those of environments' own parts: they are MWAA as a service."""

MOST_DATA = 1000
MOST_VALUES = 150

LARGEST = 2.0**360

COMBINATION = "InvalidParameterCombination"

Document = Mapping[str, Any]


def check_namespace(namespace: str, caller: str) -> None:
    """Raise TelemetryRefusedError when this caller may not write there, whatever IAM says."""
    if namespace.startswith(RESERVED) and caller != OWN_PARTS:
        raise TelemetryRefusedError(INVALID_VALUE, invalid_namespace(namespace))


def invalid_namespace(namespace: str) -> str:
    """CloudWatch's sentence for a namespace that is reserved."""
    return f"The value {namespace} for parameter Namespace is invalid."


def accept(namespace: str, given: Sequence[Document], *, now: float) -> list[Datum]:
    """The points of a request.

    Raises:
        TelemetryRefusedError: one is wrong; then none is taken.
    """
    if len(given) > MOST_DATA:
        raise TelemetryRefusedError(
            INVALID_VALUE, f"The collection MetricData must not have a size greater than {MOST_DATA}."
        )
    return [
        datum
        for number, each in enumerate(given, start=1)
        if (datum := _datum(namespace, each, f"MetricData.member.{number}", now)) is not None
    ]


def _datum(namespace: str, given: Document, path: str, now: float) -> Datum | None:
    """None: it says that nothing was measured."""
    moment = given.get("Timestamp", now)
    if not now - periods.OLDEST <= moment <= now + periods.NEWEST:
        raise TelemetryRefusedError(
            INVALID_VALUE, f"The parameter {path}.Timestamp must be at most two weeks in the past or two hours ahead."
        )
    names = [each["Name"] for each in given.get("Dimensions", ())]
    if len(set(names)) < len(names):
        raise TelemetryRefusedError(INVALID_VALUE, f"The parameter {path}.Dimensions has a name twice.")
    point = _point(given, path)
    wanted = metric({**given, "Namespace": namespace})
    if point is None:
        return None
    return Datum(wanted, given.get("Unit", "None"), periods.aligned(moment, MINUTE), point)


def _point(given: Document, path: str) -> DataPoint | None:
    forms = {"Value", "StatisticValues", "Values"} & set(given)
    if len(forms) != 1:
        raise TelemetryRefusedError(COMBINATION, f"{path} must have one of Value, Values and StatisticValues.")
    if "Value" in given:
        return points.of({_fit(given["Value"], path): 1.0})
    return _of_statistics(given["StatisticValues"], path) if "StatisticValues" in given else _of_values(given, path)


def _of_statistics(given: Document, path: str) -> DataPoint | None:
    count, total, least, most = (_fit(given[name], path) for name in ("SampleCount", "Sum", "Minimum", "Maximum"))
    if count < 0 or least > most:
        raise TelemetryRefusedError(INVALID_VALUE, f"{path}.StatisticValues contradict themselves.")
    return DataPoint(count, total, least, most) if count else None


def _of_values(given: Document, path: str) -> DataPoint | None:
    values, counts = given["Values"], given.get("Counts", [1.0] * len(given["Values"]))
    if len(values) > MOST_VALUES or len(counts) != len(values):
        raise TelemetryRefusedError(
            INVALID_VALUE, f"{path} may have {MOST_VALUES} Values, and Counts must be as many as they are."
        )
    found: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        if _fit(count, path) < 0:
            raise TelemetryRefusedError(INVALID_VALUE, f"{path}.Counts must not be negative.")
        if count:
            found[_fit(value, path)] = found.get(float(value), 0.0) + float(count)
    return points.of(found) if found else None


def _fit(value: float, path: str) -> float:
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not abs(found) <= LARGEST:
        raise TelemetryRefusedError(INVALID_VALUE, f"{path} has a number that is not in the range -2^360 to 2^360.")
    return found
