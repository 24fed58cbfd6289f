"""Keep what a worker has taken from the queue under the worker's own name, so that its successor gives it back.

Celery keeps all messages that were taken and not done in one place, and hands them out again after half a day. So a
worker that dies would take tasks with it that it had not even begun: for Airflow they are queued, and nobody has them.
Under this worker's name lies only what this worker took, and when it starts, its predecessor is dead. A task that had
begun is no longer queued; Airflow refuses to begin it a second time.

A worker that was told to end still hears the queue for up to a second. What it takes then it would neither run nor give
back before its last task is done, which may be half a day later. The same holds for what it took a moment before, and
has not handed to one of its processes yet, and for what Redis hands over when nobody reads it any more. So it gives all
of that back at once.

While the broker is away, a worker forgets what it has not handed to a process, and cannot tell the broker that a task
is done. Nobody would ever have those messages again. So with each new connection it gives back all but what it runs.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import queue
import weakref
from collections.abc import Callable
from typing import Any

PAUSES = {"interval_start": 0.2, "interval_step": 0.2, "interval_max": 1.0}
"""Seconds between two tries to reach the broker, which may be starting itself."""


def keep_under(app: Any, hostname: str) -> None:
    """Keep messages under the name of this worker from now on."""
    names = {key: key + "." + hostname for key in ("unacked", "unacked_index", "unacked_mutex")}
    options = dict(app.conf.broker_transport_options or {})
    options.update({key + "_key": name for key, name in names.items()})
    app.conf.broker_transport_options = options


def give_back(app: Any, but: frozenset[str] = frozenset()) -> None:
    """Put back into the queue what is kept under this worker's name, but for the messages with these tags."""
    with app.connection_for_read() as connection:
        connection.ensure_connection(**PAUSES)
        channel = connection.default_channel
        with channel.conn_or_acquire() as client:
            # Not `zrange`: kombu puts its prefix before the keys of some commands only.
            tags = client.zrevrangebyscore(channel.unacked_index_key, "+inf", "-inf")
            for tag in tags:
                if tag.decode() not in but:
                    channel.qos.restore_by_tag(tag, client)


def give_back_forgotten_ones(app: Any) -> None:
    """From now on put back, with each new connection to the broker, what this worker holds and does not run."""
    from celery import bootsteps
    from celery.worker import state
    from celery.worker.consumer import Consumer

    close = Consumer.on_close
    handed_over: weakref.WeakSet[Any] = weakref.WeakSet()

    def on_close(self: Any) -> Any:
        handed_over.update(each for each in state.reserved_requests if _is_handed_over(each))
        return close(self)  # forgets those too, which go on

    class GiveBackForgotten(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """What a consumer does before it consumes."""

        requires = ("celery.worker.consumer.tasks:Tasks",)

        def start(self, consumer: Any) -> None:
            runs = [each for each in (*state.active_requests, *handed_over) if not each.acknowledged]
            give_back(consumer.app, frozenset(each.message.delivery_tag for each in runs))

    Consumer.on_close = on_close
    app.steps["consumer"].add(GiveBackForgotten)


def give_back_late_ones() -> None:
    """From now on put what no process of this worker has begun back into the queue when the worker is told to end."""
    from celery.worker import state
    from celery.worker.consumer import Consumer

    create, close = Consumer.create_task_handler, Consumer.on_close

    def is_told_to_end() -> bool:
        return state.should_stop is not None and state.should_stop is not False  # else an exit code, and that may be 0

    def create_task_handler(self: Any, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        receive = create(self, *args, **kwargs)

        def on_task_received(message: Any) -> Any:
            return message.requeue() if is_told_to_end() else receive(message)

        return on_task_received

    def on_close(self: Any) -> Any:
        if is_told_to_end():
            if self.task_consumer is not None:
                _hear_out(self.task_consumer.channel)
            for request in [each for each in state.reserved_requests if not _is_handed_over(each)]:
                request.message.requeue()
        return close(self)  # forgets all that was not handed over

    Consumer.create_task_handler, Consumer.on_close = create_task_handler, on_close


def _hear_out(channel: Any) -> None:
    """Read the answer to the last question for a message, for a second at most: nobody else would before the end."""
    if channel._in_poll:  # noqa: SLF001 - kombu says it nowhere else, and nowhere else reads it
        with contextlib.suppress(queue.Empty, *channel.connection_errors):
            channel._brpop_read()  # noqa: SLF001 - as above


def _is_handed_over(request: Any) -> bool:
    """Whether a process of this worker has the task, or a part of it was written to one already."""
    handed = request._apply_result  # noqa: SLF001 - a weak reference; None while it waits for a free process
    job = handed and handed()
    return bool(job) and (job._accepted or job._scheduled_for is not None)  # noqa: SLF001 - billiard says it nowhere else
