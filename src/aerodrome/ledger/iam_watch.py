"""IAM as it is now, in a process that does not change it: read again when PostgreSQL notifies, and when somebody asks.

The AWS door works with it. While the ledger is away, what was read last counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
import structlog

from aerodrome.errors import RetryError
from aerodrome.ledger.notices import Notices
from aerodrome.ledger.principals import Principals
from aerodrome.threads import SupervisedThread

EVERY = 30.0
"""Seconds after which it is read again though nothing was notified."""

SPACING = 0.05
"""Seconds between the beginnings of two reads at least, however many ask."""

PAUSE = 1.0
"""Seconds before another look at a ledger that is away."""

log = structlog.get_logger("aerodrome.iam")


class IamWatch:
    """Keeps `principals` fresh; `close` it in the end."""

    def __init__(
        self, principals: Principals, notices: Notices, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._principals = principals
        self._notices = notices
        self._monotonic = monotonic
        self._reading = threading.Lock()
        self._began = -SPACING
        self._closing = threading.Event()
        self.thread = SupervisedThread("iam", self._watch, patience=3 * EVERY)

    def refresh(self) -> None:
        """Bring in every change that was committed before the call; blocks. Those who ask at once share a read."""
        arrived = self._monotonic()
        with self._reading:
            if self._began > arrived:
                return
            time.sleep(max(0.0, self._began + SPACING - self._monotonic()))
            self._began = self._monotonic()
            try:
                self._principals.refresh()
            except sa.exc.SQLAlchemyError as error:
                log.warning("iam_not_read", error=type(error).__name__)

    def close(self) -> None:
        """End the watching; it may take as long as a wait for a notice."""
        self._closing.set()

    def _watch(self) -> None:
        while not self._closing.is_set():
            self.thread.beat()
            try:
                if self._notices.listen():
                    self.refresh()  # of what changed while nobody listened, no notice comes
                self._notices.wait(EVERY)
            except RetryError as error:
                log.warning("iam_not_notified", reason=str(error))
                self._closing.wait(PAUSE)
            self.refresh()
