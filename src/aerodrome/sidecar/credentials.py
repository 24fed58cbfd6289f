"""The execution role's temporary credentials: kept fresh for the sync and for the environment's units.

`assume_role` fetches them, `endpoint` hands them out, `bucket` signs with them: what the role may not read does not
reach the disk, whoever started this process. The main thread refreshes; the endpoint's thread only reads `current`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from aerodrome.clock import Clock
from aerodrome.errors import AerodromeError
from aerodrome.sidecar import backoff
from aerodrome.sidecar.config import AccessKeys
from aerodrome.sidecar.signed_http import AwayError

MARGIN = timedelta(minutes=30)
"""Time before their end at which they are renewed, half of their life: for so long STS may be away. AWS's SDKs begin to
ask for newer ones a quarter of an hour before the end, and find them."""

PAUSE = 60.0
"""Seconds at least between two successful renewals, whatever their lifetime; arbitrary."""

log = structlog.get_logger("sidecar.credentials")


@dataclass(frozen=True, slots=True)
class RoleCredentials:
    """Keys, and when they end."""

    keys: AccessKeys
    expiration: datetime
    role_arn: str


def when_to_refresh(now: datetime, expiration: datetime | None) -> datetime:
    """The moment to renew credentials that end at `expiration` (None: there are none yet); never before `now`."""
    if expiration is None:
        return now
    return max(now, expiration - MARGIN)


class RefreshableCredentials:
    """The role's credentials, as fresh as the service allows."""

    def __init__(self, assume: Callable[[], RoleCredentials], *, clock: Clock, monotonic: Callable[[], float]) -> None:
        self.error: str | None = None
        """The last failure's sentence; None while renewing works."""
        self._assume = assume
        self._clock = clock
        self._monotonic = monotonic
        self._held: RoleCredentials | None = None
        self._rejected = False
        self._failures = 0
        self._not_before = 0.0

    def current(self) -> RoleCredentials | None:
        """What is held and still valid. Safe from any thread."""
        held = self._held
        return held if held is not None and self._clock() < held.expiration else None

    def keep_fresh(self) -> None:
        """Renew them when it is time and the back-off allows; a failure is kept in `error`, and what is held stays."""
        if self._monotonic() < self._not_before or not self._due():
            return
        try:
            self._held = self._assume()
        except AerodromeError as error:
            self._failures += 1
            self._not_before = self._monotonic() + backoff.back_off(self._failures)
            if self.error != str(error):
                log.warning("cannot assume the execution role", error=str(error))
            self.error = str(error)
            return
        self._failures, self._rejected, self.error = 0, False, None
        self._not_before = self._monotonic() + PAUSE
        log.info("assumed the execution role", until=self._held.expiration.isoformat())

    def keys(self) -> AccessKeys:
        """Valid keys for one request.

        Raises:
            AwayError: there are none now.
        """
        self.keep_fresh()
        held = self.current()
        if held is None:
            raise AwayError(self.error or "the execution role's credentials have ended and cannot be renewed yet")
        return held.keys

    def reject(self) -> None:
        """Note that a service no longer accepts them: they are renewed as soon as the back-off allows."""
        self._rejected = True

    def _due(self) -> bool:
        now = self._clock()
        return self._rejected or when_to_refresh(now, self._held.expiration if self._held else None) <= now
