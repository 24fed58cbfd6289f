"""What Prometheus scrapes at `/metrics`: the control plane, the state of environments, and the metrics of each.

The same leaves by OTLP, where that is on (`otlp.export`).

Whoever can read the file `keys/scrape-token` of the data folder may scrape, with `Authorization: Bearer`; DAG code,
which reaches this port, cannot. Series are bounded by the log store, which has the totals. Airflow's counters become
counters, its timers summaries in seconds, everything else gauges.
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from anyio import to_thread
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from aerodrome.airflow import published_metrics
from aerodrome.model.environment import Environment
from aerodrome.otlp.outbox import OutboxStatus
from aerodrome.otlp.points import Collected

PATH = "/metrics"

MOST_AGE = 180
"""Seconds after which a gauge that nobody has measured since is not shown any more."""

MILLI = 1000.0

_ENDINGS = {"counter": ("_total",), "summary": ("_count", "_sum"), "gauge": ()}
"""What samples are called after the name of their family."""

_PUBLISHED = frozenset((each.name, each.unit) for each in published_metrics.METRICS)

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")

log = structlog.get_logger("aerodrome.prometheus")


class Exposition:
    """Everything that is shown."""

    def __init__(
        self,
        *,
        token: str,
        environments: Callable[[], Iterable[Environment]],
        totals: Callable[[], Mapping[str, Any]],
        exported: Callable[[], OutboxStatus] | None = None,
    ) -> None:
        """`environments` and `totals` block; `totals` raises OSError when the log store does not answer.

        `exported` tells of OTLP; None: it is off.
        """
        self._token = token.encode()
        self._environments = environments
        self._totals = totals
        self._exported = exported
        self._began = time.time()
        self._registry = CollectorRegistry()
        ProcessCollector(namespace="aerodrome_control_plane", registry=self._registry)
        self._answers = Counter(
            "aerodrome_api_answers", "Answers to requests.", ["service", "status"], registry=self._registry
        )

    def count(self, service: str, status: int) -> None:
        """Count an answer to a request for one of our services."""
        self._answers.labels(service, f"{status // 100}xx").inc()

    async def answer(self, request: Request) -> Response:
        """The page, for whoever has the token."""
        kind, _, shown = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), self._token):
            return PlainTextResponse(
                "Scraping needs the token in keys/scrape-token of the data folder, as Authorization: Bearer.\n",
                401,
                {"www-authenticate": "Bearer"},
            )
        page = await to_thread.run_sync(self._page)
        return Response(page, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def _page(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(_Families([*self._of_now(), *self._of_totals()[0]]))
        return generate_latest(self._registry) + generate_latest(registry)

    def collected(self) -> list[Collected]:
        """All that the page shows, for those who send it; blocks."""
        totals, since = self._of_totals()
        own = Collected((*self._registry.collect(), *self._of_now()), since=self._began)
        return [own, Collected((*totals,), since=since)]

    def _of_now(self) -> Iterator[Metric]:
        yield from _of_environments(self._environments())
        if self._exported is not None:
            yield _of_batches(self._exported())

    def _of_totals(self) -> tuple[list[Metric], float]:
        """What the log store has, and since when it counts."""
        up = GaugeMetricFamily("aerodrome_log_store_up", "Whether the store of metrics answers.")
        try:
            document = self._totals()
        except OSError as error:
            log.info("the store of metrics does not answer", error=str(error))
            up.add_metric([], 0.0)
            return [up], 0.0
        up.add_metric([], 1.0)
        found = document["series"]
        no_room = CounterMetricFamily(
            "aerodrome_log_store_points_left_out",
            "Points of metrics that are in CloudWatch alone: their environment has too many metrics.",
            value=document["left_out"],
        )
        return [up, no_room, *families(found)], max((each.get("since", 0.0) for each in found), default=0.0)


class _Families(Collector):
    """Families that are there already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        """Them."""
        return self._found


def _of_environments(found: Iterable[Environment]) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "aerodrome_environment_status", "1 for the status that an environment has.", labels=["environment", "status"]
    )
    for each in found:
        status.add_metric([each.name, str(each.status)], 1.0)
    yield status


def _of_batches(status: OutboxStatus) -> Metric:
    batches = CounterMetricFamily(
        "aerodrome_otlp_batches", "Batches of metrics that were to be exported by OTLP.", labels=["outcome"]
    )
    batches.add_metric(["sent"], status.sent)
    batches.add_metric(["dropped"], status.dropped)
    return batches


def families(totals: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """Families of the totals of metrics. Pure.

    A page with one name of two types, or with one series twice, is refused as a whole by some of its readers, and any
    execution role can make up names that come to that. So a name belongs to whoever has it first, MWAA's own metrics
    before all others; what clashes with that is left out and counted.
    """
    known = sorted(totals, key=_is_made_up)
    newest = max((each["minute"] for each in known), default=0.0)
    found: dict[tuple[str, str], Metric] = {}
    owners: dict[str, tuple[str, str]] = {}
    seen: set[tuple[str, str, tuple[tuple[str, str], ...]]] = set()
    clashes = 0
    for each in known:
        name, kind, scale = _called(each["namespace"], each["name"], each["unit"])
        key = name, kind
        labels = {_label(word): str(value) for word, value in each["dimensions"].items()}
        series = (*key, tuple(sorted(labels.items())))
        if kind == "gauge" and each["minute"] < newest - MOST_AGE:
            continue
        taken = [name, *(f"{name}{ending}" for ending in _ENDINGS[kind])]
        if series in seen or any(owners.get(one, key) != key for one in taken):
            clashes += 1
            continue
        owners |= dict.fromkeys(taken, key)
        seen.add(series)
        family = found.setdefault(key, Metric(name, f"{each['namespace']} {each['name']}", kind))
        if kind == "counter":
            family.add_sample(f"{name}_total", labels, each["sum"])
        elif kind == "summary":
            family.add_sample(f"{name}_count", labels, each["count"])
            family.add_sample(f"{name}_sum", labels, each["sum"] * scale)
        else:
            family.add_sample(name, labels, each["last"] * scale)
    left_out = GaugeMetricFamily("aerodrome_series_left_out", "Series that are not shown, and why.", labels=["reason"])
    left_out.add_metric(["clash"], clashes)
    return [*found.values(), left_out]


def _is_made_up(total: Mapping[str, Any]) -> bool:
    """Whether MWAA has no such metric."""
    return total["namespace"] == published_metrics.NAMESPACE and (total["name"], total["unit"]) not in _PUBLISHED


def _called(namespace: str, name: str, unit: str) -> tuple[str, str, float]:
    """Name, type, and what a value is multiplied with."""
    words = _snake(name)
    if namespace != published_metrics.NAMESPACE:
        ending = {"Percent": "_percent", "Bytes": "_bytes", "Seconds": "_seconds"}.get(unit, "")
        return f"aerodrome_mwaa_{words}{ending}", "gauge", 1.0
    if name in published_metrics.COUNTERS:
        return f"aerodrome_airflow_{words}", "counter", 1.0
    if unit == published_metrics.MILLISECONDS:
        return f"aerodrome_airflow_{words}_seconds", "summary", 1 / MILLI
    ending = {"Percent": "_percent", "Seconds": "_seconds"}.get(unit, "")
    return f"aerodrome_airflow_{words}{ending}", "gauge", 1.0


def _snake(name: str) -> str:
    return _WORD.sub("_", name).lower().strip("_")


def _label(name: str) -> str:
    found = _snake(name)
    return found if found[:1].isalpha() else f"label_{found}"
