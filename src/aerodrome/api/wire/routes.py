"""Routing: HTTP method and raw path → operation and the raw text of its labels.

The path is matched undecoded, because a ResourceArn has `%2F` within one segment. `requests` decodes labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from botocore.model import OperationModel

from aerodrome.api.wire import service


@dataclass(frozen=True, slots=True)
class Match:
    """An operation, and the percent-encoded text of each label in its path."""

    operation: OperationModel
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Route:
    operation: OperationModel
    method: str
    segments: tuple[str, ...]

    def labels(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        if len(segments) != len(self.segments):
            return None
        found = {}
        for template, given in zip(self.segments, segments, strict=True):
            if template.startswith("{"):
                found[template.strip("{}")] = given
            elif template != given:
                return None
        return found if all(found.values()) else None


def match(method: str, raw_path: str) -> Match | None:
    """The operation of a request line; None when the model has none."""
    segments = tuple(raw_path.split("/"))
    for route in _routes():
        if route.method != method:
            continue
        labels = route.labels(segments)
        if labels is not None:
            return Match(route.operation, labels)
    return None


@cache
def first_segments() -> frozenset[str]:
    """The first path segments that belong to the service: environments, tags and so on."""
    return frozenset(route.segments[1] for route in _routes())


@cache
def _routes() -> tuple[_Route, ...]:
    return tuple(
        _Route(operation, operation.http["method"], tuple(operation.http["requestUri"].split("/")))
        for operation in service.operations()
    )
