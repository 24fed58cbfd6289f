"""Long orders, each carried out in a thread of its own; `observed.Work` is what is told of them.

One for each environment at a time: beginning another one forgets the last. They die with the control plane, and the
controller gives the order again, so every one of them must bear that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import psycopg
import structlog

from aerodrome.errors import DISK_FULL, AerodromeError, BrokenError, RetryError
from aerodrome.model.observed import Work
from aerodrome.model.orders import LongOrder

log = structlog.get_logger("aerodrome.backends")


class GivenUpError(RetryError):
    """Nobody wants the work any more."""


@dataclass
class Job:
    """One piece of work and how far it is. What it runs may call `tell` and must call `check` now and then."""

    revision: int
    order: type[LongOrder]
    seen: Work
    error: AerodromeError | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self, detail: str, fraction: float | None = None) -> None:
        """Say what it is doing."""
        self.seen = Work(order=self.order, done=False, detail=detail, fraction=fraction)

    def check(self) -> None:
        """Raise GivenUpError when it is not wanted any more."""
        if self.cancelled.is_set():
            raise GivenUpError("the change was given up")


class Jobs:
    """The work of all environments, by their identifiers."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def begin(self, identifier: str, revision: int, order: type[LongOrder], run: Callable[[Job], Work]) -> None:
        """Begin what an order asks for, unless it is under way."""
        with self._lock:
            known = self._jobs.get(identifier)
            if known is not None and (known.revision, known.order) == (revision, order) and not known.ended.is_set():
                return
            job = Job(revision, order, Work(order=order, done=False))
            self._jobs[identifier] = job
        if known is not None:
            known.cancelled.set()
        name = f"{order.__name__.lower()}-{identifier}"
        threading.Thread(target=_run, args=(job, run), name=name, daemon=True).start()

    def seen(self, identifier: str, revision: int, orders: Collection[type[LongOrder]]) -> Work | None:
        """The work of that revision for one of these orders, under way or done; None = none was begun.

        Raises:
            AerodromeError: it failed; once, so that it can be begun again.
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
        """Give up what is done for an environment, and return when it has ended."""
        with self._lock:
            job = self._jobs.pop(identifier, None)
        if job is not None:
            job.cancelled.set()
            job.ended.wait()

    def close(self) -> None:
        """Give up everything, without waiting."""
        with self._lock:
            for job in self._jobs.values():
                job.cancelled.set()


def _run(job: Job, run: Callable[[Job], Work]) -> None:
    try:
        job.seen = run(job)
    except AerodromeError as error:
        job.error = error
    except psycopg.Error as error:
        job.error = BrokenError(f"PostgreSQL: {str(error).splitlines()[0]}", code="DATABASE_FAILED")
    except OSError as error:
        passes = error.errno in DISK_FULL
        job.error = RetryError("Waiting for space: the disk is full.") if passes else _fault(error)
    except BaseException as error:  # noqa: BLE001 - a thread has nobody above it: who waits for it is told
        job.error = _fault(error)
    finally:
        job.ended.set()


def _fault(error: BaseException) -> BrokenError:
    log.error("fault", exc_info=error)
    return BrokenError(f"{type(error).__name__} in Aerodrome itself; the control plane's log has the details.")
