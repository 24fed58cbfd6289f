"""What the sidecar says of itself: one small file (0600) that the control plane and a person read.

Written by `rounds`. Nothing in it is a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from aerodrome.otlp.outbox import OutboxStatus
from aerodrome.sidecar.private_files import write_private

SHOWN = 100
"""Refused keys in the file; arbitrary, enough to see what is wrong. `refused_count` tells of all."""

REFRESH = 10.0
"""Seconds after which the file is written although only `last_sync` has moved on."""


@dataclass(frozen=True, slots=True)
class LogsStatus:
    """What became of the logs."""

    shipped: int = 0
    """Events since the process began."""
    dropped: int = 0
    """Events since ever that no group has taken, and gaps that rotations made."""
    behind_since: datetime | None = None
    """Since when nothing can be sent; None while all is well."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MetricsStatus:
    """What became of the metrics."""

    published: int = 0
    """Metrics of all minutes since the process began."""
    dropped: int = 0
    """Those that found no room, or that CloudWatch never takes."""
    behind_since: datetime | None = None
    """Since when nothing can be sent; None while all is well."""
    error: str | None = None
    """Of Airflow's metrics, which the execution role writes."""
    service_error: str | None = None
    """Of what MWAA measures, which no role writes."""


@dataclass(frozen=True, slots=True)
class SidecarStatus:
    """The state after one round."""

    environment: str
    started: datetime
    last_sync: datetime | None = None
    """The last round that read the whole bucket; None before the first."""
    objects: int = 0
    away_since: datetime | None = None
    """Since when the bucket cannot be read; None while it can."""
    error: str | None = None
    """The last failure's sentence; None while all is well."""
    refused: Mapping[str, str] = field(default_factory=dict)
    credentials_until: datetime | None = None
    """The end of the role's credentials; None while there are none."""
    credentials_error: str | None = None
    logs: LogsStatus | None = None
    """None while no log is shipped."""
    metrics: MetricsStatus | None = None
    """None while no metric is published."""
    traces: OutboxStatus | None = None
    """None while no span was to be sent."""


def document(status: SidecarStatus) -> dict[str, object]:
    """The file's content. Times are ISO 8601 in UTC."""
    return {
        "environment": status.environment,
        "started": status.started.isoformat(),
        "last_sync": _moment(status.last_sync),
        "objects": status.objects,
        "away_since": _moment(status.away_since),
        "error": status.error,
        "refused": dict(islice(sorted(status.refused.items()), SHOWN)),
        "refused_count": len(status.refused),
        "credentials": {"until": _moment(status.credentials_until), "error": status.credentials_error},
        "logs": _logs(status.logs),
        "metrics": _metrics(status.metrics),
        "traces": _traces(status.traces),
    }


def _logs(logs: LogsStatus | None) -> dict[str, object] | None:
    if logs is None:
        return None
    return {
        "shipped": logs.shipped,
        "dropped": logs.dropped,
        "behind_since": _moment(logs.behind_since),
        "error": logs.error,
    }


def _metrics(metrics: MetricsStatus | None) -> dict[str, object] | None:
    if metrics is None:
        return None
    return {
        "published": metrics.published,
        "dropped": metrics.dropped,
        "behind_since": _moment(metrics.behind_since),
        "error": metrics.error,
        "service_error": metrics.service_error,
    }


def _traces(traces: OutboxStatus | None) -> dict[str, object] | None:
    if traces is None:
        return None
    return {
        "sent": traces.sent,
        "dropped": traces.dropped,
        "behind_since": _moment(traces.behind_since),
        "error": traces.error,
    }


class StatusFile:
    """Writes the file when something is new, and from time to time to show that the process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: dict[str, object] = {}
        self._at = float("-inf")

    def write(self, status: SidecarStatus, *, now: float) -> None:
        """Write it if need be; `now` is monotonic, in seconds."""
        content = document(status)
        if now - self._at < REFRESH and _lasting(content) == _lasting(self._written):
            return
        write_private(self._path, json.dumps(content, indent=2).encode())
        self._written, self._at = content, now


def _lasting(content: dict[str, object]) -> dict[str, object]:
    """Without what moves on all the time."""
    moving = {"logs": "shipped", "metrics": "published", "traces": "sent"}
    parts = {part: content.get(part) for part in moving}
    kept = {part: {**found, moving[part]: None} for part, found in parts.items() if isinstance(found, dict)}
    return {**content, **kept, "last_sync": None}


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
