"""Time as an argument: the one place that reads the wall clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present time, aware, in UTC."""


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)
