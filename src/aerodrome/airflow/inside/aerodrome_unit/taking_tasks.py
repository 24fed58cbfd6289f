"""Let a worker take tasks or not, as a file says, while it goes on with those that it has.

The file lists the host names of the workers that take tasks. A worker that is not listed stops to consume, and says
from then on how many tasks it holds. It is told to end only when it holds none, so that no task is lost: what the
broker has handed over in the very moment of the cancellation goes back into the queue, or is held, and counts.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

LOOK_EVERY = 1.0
"""Seconds between two looks into the file, and between two counts."""


FILE = "consuming"
"""The file's name in the folder of Airflow's configuration."""


def follow_beside_configuration(
    app: Any, hostname: str, tell: Callable[[int | None], None], came_round: Callable[[], None]
) -> None:
    """Follow the file that lies beside Airflow's configuration."""
    path = os.path.join(os.path.dirname(os.environ["AIRFLOW_CONFIG"]), FILE)
    # The one that workers serve; in Airflow 1.10 its name begins with the environment's prefix.
    follow(app, path, hostname, app.conf.task_default_queue, tell, came_round)


def follow(
    app: Any,
    path: str,
    hostname: str,
    queue: str,
    tell: Callable[[int | None], None],
    came_round: Callable[[], None] = lambda: None,
) -> None:
    """From the start on, be as the file at `path` says, and tell how many tasks are held (None: it takes tasks).

    `came_round` is called as long as the worker's main loop turns.
    """
    from celery import bootsteps

    taking = Taking(path, hostname, queue, tell)

    class FollowFile(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """What a consumer does when it has, or has again, a connection to the broker."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            taking.look(consumer)

        def register_with_event_loop(self, consumer: Any, hub: Any) -> None:
            hub.timer.call_repeatedly(LOOK_EVERY, taking.look, (consumer,))
            hub.timer.call_repeatedly(LOOK_EVERY, came_round)

    app.steps["consumer"].add(FollowFile)


class Taking:
    """Whether this worker takes tasks now."""

    def __init__(self, path: str, hostname: str, queue: str, tell: Callable[[int | None], None]) -> None:
        self._path = path
        self._hostname = hostname
        self._queue = queue
        self._tell = tell
        self._takes = True

    def look(self, consumer: Any) -> None:
        """Do what the file says now."""
        if consumer.task_consumer is None:
            return
        wanted = self._is_wanted()
        if wanted and not self._takes:
            # Selected as well: a new connection consumes what is selected.
            consumer.app.amqp.queues.select(self._queue)
            consumer.add_task_queue(self._queue)
            self._tell(None)
        elif not wanted and self._takes:
            consumer.cancel_task_queue(self._queue)
        self._takes = wanted
        if not wanted:
            self._tell(held(consumer))

    def _is_wanted(self) -> bool:
        """A file that cannot be read changes nothing."""
        try:
            with open(self._path, encoding="utf-8") as file:
                return self._hostname in file.read().split()
        except (OSError, ValueError):
            return self._takes


def held(consumer: Any) -> int:
    """How many tasks the worker has, and may still get from a question that the broker has not answered."""
    from celery.worker import state

    channel = consumer.task_consumer.channel
    unacknowledged = len(channel.qos._delivered) - len(channel.qos._dirty)  # noqa: SLF001 - kombu counts so, too
    asking = 1 if channel._in_poll else 0  # noqa: SLF001 - as above
    return max(len(state.reserved_requests), unacknowledged) + asking
