"""Counts the tasks of environments in their metadata databases, now and then: for workers that follow the load.

An environment's code can make any query there slow. So the longer a count took, the later is the next: counts take a
tenth of the time at most.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import psycopg

from aerodrome.airflow import metadata as queries
from aerodrome.airflow import units
from aerodrome.airflow.versions import Version
from aerodrome.backends.databases import metadata
from aerodrome.model.observed import OVERDUE, TasksSeen
from aerodrome.services.clusters import Cluster
from aerodrome.services.redis import key_prefix

BUSY_EVERY = 0.9
"""Seconds between two counts while the environment has something to do."""

GROWN_EVERY = 0.2
"""Seconds, while its queue has more messages than it had at the last count."""

IDLE_EVERY = 5.0
"""Seconds, while its queue is empty and the last count found nothing."""

REST = 9.0
"""After a count, or a try, nobody counts for so many times as long as it took."""

LIMIT = 1_000_000
"""More tasks than that are as good as that many."""


@dataclass(slots=True)
class _Count:
    """The last count of an environment's tasks."""

    tasks: TasksSeen | None
    at: float
    messages: int | None
    rests_until: float


@dataclass(slots=True)
class TaskCounts:
    """The last counts, by the environments' identifiers."""

    _last: dict[str, _Count] = field(default_factory=dict)

    def of(
        self, identifier: str, cluster: Cluster, name: str, password: str, version: Version, *, messages: int | None
    ) -> TasksSeen | None:
        """The tasks in the database `name`, as they were a moment ago; None = nobody knows.

        The queue has so many `messages`, with those that workers have taken; None = nobody knows.
        """
        now, last = time.monotonic(), self._last.get(identifier)
        if last is not None:
            had_tasks = last.tasks is None or last.tasks.queued > 0 or bool(last.tasks.running)
            pause = GROWN_EVERY if _has_more(messages, last.messages) else IDLE_EVERY
            if had_tasks or messages is None or messages > 0:
                pause = min(pause, BUSY_EVERY)
            if now < max(last.at + pause, last.rests_until):
                return last.tasks
        tasks: TasksSeen | None = None
        with contextlib.suppress(psycopg.Error):  # other code says so
            query = queries.tasks_of_workers(version, OVERDUE, key_prefix(identifier))
            rows = metadata.execute(cluster, name, password, query, patience=1)
            tasks = _counted(rows, now)
        ended = time.monotonic()
        self._last[identifier] = _Count(tasks, ended, messages, rests_until=ended + REST * (ended - now))
        return tasks

    def forget(self, identifier: str) -> None:
        """Count anew at the next look."""
        self._last.pop(identifier, None)


def _has_more(messages: int | None, before: int | None) -> bool:
    return messages is not None and before is not None and messages > before


def _counted(rows: list[tuple[Any, ...]], at: float) -> TasksSeen:
    running: dict[tuple[int, str], int] = {}
    queued = overdue = 0
    for host, is_queued, count, late in rows:
        worker = units.worker_of(host or "")
        if is_queued:
            queued, overdue = min(queued + count, LIMIT), min(overdue + late, LIMIT)
        elif worker is not None:
            running[worker] = min(running.get(worker, 0) + count, LIMIT)
    return TasksSeen(queued=queued, overdue=overdue, running=MappingProxyType(running), counted_at=at)
