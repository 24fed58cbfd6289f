"""What is remembered from one look to the next: the ground on which workers and web servers come and go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The most tasks that there were at a moment."""

    ago: float
    """Seconds, of those in which we looked."""

    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """What has been seen of a worker since it takes no more tasks."""

    lasts: float = 0.0
    """Seconds, of those in which we looked."""

    empty_for: float | None = None
    """Seconds, of the same, since a look first saw that it holds no task; None = it holds some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The tasks of the last while, and the workers that take no more.

    Only time in which we looked counts: a machine that slept, or a clock that was set, changes no decision.
    """

    at: datetime
    """When we looked last."""

    revision: int
    """Whose workers these are."""

    is_known: bool
    """Whether the last look could tell the tasks; else they are those of the look before."""

    queued: int = 0
    running: int = 0
    """On workers of this revision."""

    looked_for: float = 0.0
    """Seconds since we began to look."""

    peaks: tuple[Peak, ...] = ()
    """Those that no later moment has reached, the highest and oldest first."""

    busy: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    """Number of a worker → tasks that it has."""

    drains: Mapping[int, Drain] = field(default_factory=lambda: MappingProxyType({}))
    """By the workers' numbers."""

    astray_for: float = 0.0
    """Seconds for which tasks have been queued of which there is no message."""

    counted_at: float | None = None
    """When the tasks were counted that the last look got; None = at that look."""

    @property
    def tasks(self) -> int:
        return self.queued + self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSample:
    """What the web servers had to do at a moment."""

    ago: float
    """Seconds, of those in which we looked."""

    connections: int
    processors: float
    """How many processors all of them used together, since the look before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDemand:
    """What the web servers of a revision had to do in the last while."""

    at: datetime
    """When we looked last."""

    revision: int
    looked_for: float = 0.0
    """Seconds since we began to look."""

    processor: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """A web server's name → the seconds of a processor that it had used at the last look."""

    samples: tuple[WebSample, ...] = ()
    """The oldest first."""
