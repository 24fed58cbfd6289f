"""What Prometheus scrapes at `/metrics`: the control plane, the state of environments, and the metrics of each.

Whoever can read the file `keys/scrape-token` of the data folder may scrape, with `Authorization: Bearer`; DAG code,
which reaches this port, cannot. Series are bounded by the log store, which has the totals. Airflow's counters become
counters, its timers summaries in seconds, everything else gauges.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import structlog
from anyio import to_thread
from prometheus_client import CollectorRegistry, Counter, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from aerodrome.airflow import published_metrics
from aerodrome.model.environment import Environment

PATH = "/metrics"

MOST_AGE = 180
"""Seconds after which a gauge that nobody has measured since is not shown any more."""

MILLI = 1000.0

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")

log = structlog.get_logger("aerodrome.prometheus")


class Exposition:
    """Everything that is shown."""

    def __init__(
        self,
        *,
        token: str,
        environments: Callable[[], Iterable[Environment]],
        totals: Callable[[], Iterable[Mapping[str, Any]]],
    ) -> None:
        """`environments` and `totals` block; `totals` raises OSError when the log store does not answer."""
        self._token = token.encode()
        self._environments = environments
        self._totals = totals
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
        registry.register(_Families([*_of_environments(self._environments()), *self._of_totals()]))
        return generate_latest(self._registry) + generate_latest(registry)

    def _of_totals(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("aerodrome_log_store_up", "Whether the store of metrics answers.")
        try:
            found = list(self._totals())
        except OSError as error:
            log.info("the store of metrics does not answer", error=str(error))
            up.add_metric([], 0.0)
            return iter([up])
        up.add_metric([], 1.0)
        return iter([up, *families(found)])


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


def families(totals: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """Families of the totals of metrics. Pure."""
    known = list(totals)
    newest = max((each["minute"] for each in known), default=0.0)
    found: dict[str, Metric] = {}
    for each in known:
        name, kind, scale = _called(each["namespace"], each["name"], each["unit"])
        labels = {_label(key): str(value) for key, value in each["dimensions"].items()}
        if kind == "gauge" and each["minute"] < newest - MOST_AGE:
            continue
        family = found.setdefault(name, Metric(name, f"{each['namespace']} {each['name']}", kind))
        if kind == "counter":
            family.add_sample(f"{name}_total", labels, each["sum"])
        elif kind == "summary":
            family.add_sample(f"{name}_count", labels, each["count"])
            family.add_sample(f"{name}_sum", labels, each["sum"] * scale)
        else:
            family.add_sample(name, labels, each["last"] * scale)
    return list(found.values())


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
