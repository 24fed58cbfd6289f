"""One statement of the service, from its submission to its end, as everybody sees it.

`statements` keeps them, `running` carries them out in threads of their own, `operations` tells of them. What only one
of these knows stands with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg

from aerodrome import clock
from aerodrome.emulator import reach
from aerodrome.emulator.reach import QueryReach
from aerodrome.emulator.redshift.results import Result
from aerodrome.emulator.redshift.sql import Understood
from aerodrome.emulator.redshift.warehouses import Warehouse

NANOSECONDS = 1_000_000_000


class StatementStatus(StrEnum):
    """The service's own words."""

    SUBMITTED = "SUBMITTED"
    STARTED = "STARTED"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    ABORTED = "ABORTED"


ENDED = frozenset({StatementStatus.FINISHED, StatementStatus.FAILED, StatementStatus.ABORTED})


class Stop(StrEnum):
    """Why a statement is ended before its time."""

    CANCELLED = "cancelled"
    LATE = "late"
    LEAVING = "leaving"


class StoppedError(Exception):
    """The statement is to end now."""


@dataclass(slots=True, kw_only=True)
class Course:
    """How a statement, or one of a batch's, goes."""

    status: StatementStatus = StatementStatus.SUBMITTED
    created_at: datetime = field(default_factory=clock.now)
    updated_at: datetime = field(default_factory=clock.now)
    error: str | None = None
    rows: int = -1
    """Returned or changed; -1 before it has ended well."""
    _began: float | None = None
    _took: float | None = None

    def begin(self) -> None:
        self._move(StatementStatus.STARTED)
        self._began = time.monotonic()

    def end(self, status: StatementStatus, error: str | None = None) -> None:
        self._took = None if self._began is None else time.monotonic() - self._began
        self.error = error
        self._move(status)

    @property
    def duration(self) -> int:
        """Nanoseconds; -1 before the end."""
        return -1 if self._took is None else int(self._took * NANOSECONDS)

    def _move(self, status: StatementStatus) -> None:
        self.updated_at = clock.now()
        self.status = status


@dataclass(slots=True, kw_only=True)
class SubStatement:
    """One SQL text, with what was understood of it and what came of it."""

    understood: Understood
    course: Course = field(default_factory=Course)
    result: Result | None = None


@dataclass(slots=True, kw_only=True)
class Statement:
    """What one ExecuteStatement or BatchExecuteStatement asked for."""

    identifier: str
    warehouse: Warehouse
    caller: str
    """The access key id that the request was signed with."""
    given: Mapping[str, Any]
    """The request."""
    parts: tuple[SubStatement, ...]
    is_batch: bool
    is_transaction: bool
    reach: QueryReach | None = field(default_factory=reach.current)
    """What COPY may read."""
    course: Course = field(default_factory=Course)
    pid: int = 0
    connection: psycopg.Connection | None = field(default=None, repr=False)
    stop: Stop | None = None
    has_ended: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Called wherever it could be left.

        Raises:
            StoppedError: it is to end.
        """
        if self.stop is not None:
            raise StoppedError

    @property
    def weight(self) -> int:
        """Bytes that it holds, about."""
        texts = sum(len(part.understood.shown) for part in self.parts)
        values = sum(len(each["value"]) for each in self.given.get("Parameters", ()))
        return texts + values + sum(part.result.size for part in self.parts if part.result is not None)
