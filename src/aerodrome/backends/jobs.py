"""Carries out long orders, each in a thread of its own; `observed.Work` is what a look tells about them.

An environment has one at a time: another one replaces it, and waits until it has ended. The thread dies with the
control plane, and the controller gives the order again. So every long order must be safe to begin again at any point.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import structlog

from aerodrome.errors import DISK_FULL, AerodromeError, BrokenError, RetryError
from aerodrome.model.observed import Work
from aerodrome.model.orders import LongOrder
from aerodrome.services.clusters import PostgresError

log = structlog.get_logger("aerodrome.backends")


class GivenUpError(RetryError):
    """The work is not wanted any more."""


@dataclass
class Job:
    """One long order and how far it has come. What it runs may call `tell`, and must call `check` often."""

    revision: int
    order: type[LongOrder]
    seen: Work
    error: AerodromeError | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self, detail: str, fraction: float | None = None) -> None:
        """Say what the work is doing."""
        self.seen = Work(order=self.order, done=False, detail=detail, fraction=fraction)

    def check(self) -> None:
        """Raise GivenUpError when the work is not wanted any more."""
        if self.cancelled.is_set():
            raise GivenUpError("the change was given up")


class Jobs:
    """The work of all environments, by their identifiers."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def begin(self, identifier: str, revision: int, order: type[LongOrder], run: Callable[[Job], Work]) -> None:
        """Begin what an order asks for, unless it is under way already."""
        with self._lock:
            known = self._jobs.get(identifier)
            if known is not None and (known.revision, known.order) == (revision, order) and not known.ended.is_set():
                return
            job = Job(revision, order, Work(order=order, done=False))
            self._jobs[identifier] = job
        if known is not None:
            known.cancelled.set()
        name = f"{order.__name__.lower()}-{identifier}"
        threading.Thread(target=_run, args=(job, run, known), name=name, daemon=True).start()

    def seen(self, identifier: str, revision: int, orders: Collection[type[LongOrder]]) -> Work | None:
        """The work of that revision for one of these orders, under way or done; None = none was begun.

        Raises:
            AerodromeError: the work failed. Only one call raises it, so that the work can begin again.
        """
        with self._lock:
            job = self._jobs.get(identifier)
            if job is None or job.revision != revision or job.order not in orders:
                return None
            if job.error is not None:
                del self._jobs[identifier]
                raise job.error
            return job.seen

    def cancel(self, identifier: str) -> None:
        """Give up an environment's work, and return when it has ended."""
        with self._lock:
            job = self._jobs.pop(identifier, None)
        if job is not None:
            job.cancelled.set()
            job.ended.wait()

    def close(self) -> None:
        """Give up all work, without waiting for its end."""
        with self._lock:
            for job in self._jobs.values():
                job.cancelled.set()


def _run(job: Job, run: Callable[[Job], Work], before: Job | None) -> None:
    try:
        if before is not None:
            before.ended.wait()
        job.check()
        job.seen = run(job)
    except AerodromeError as error:
        job.error = error
    except PostgresError as error:
        job.error = BrokenError(f"PostgreSQL: {str(error).splitlines()[0]}", code="DATABASE_FAILED")
    except OSError as error:
        passes = error.errno in DISK_FULL
        job.error = RetryError("Waiting for space: the disk is full.") if passes else _fault(error)
    except BaseException as error:  # noqa: BLE001 - nobody catches a thread's error; whoever waits must see it
        job.error = _fault(error)
    finally:
        job.ended.set()


def _fault(error: BaseException) -> BrokenError:
    log.error("fault", exc_info=error)
    return BrokenError(f"{type(error).__name__} in Aerodrome itself; the control plane's log has the details.")
