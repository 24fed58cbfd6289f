"""Structured logging: one line for each event, to standard error or a file, never a secret, and never an exception.

Rooms get a logger by `structlog.get_logger(...)`; only the entry points call `configure`. Code often logs while it
handles an error. If the line raised another error (a full disk, a closed stream), nobody would handle that one. So a
line that cannot be made or written is dropped and counted, and the next line that is written says how many were.
Trouble that is told again and again is written once in a while.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

import structlog


def configure(*, level: int = logging.INFO, json: bool | None = None) -> None:
    """Set up structlog for this process. `json=None` means: JSON unless standard error is a terminal."""
    as_json = not _is_terminal(sys.stderr) if json is None else json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    repeats = Repeats()
    lines = Lines(sys.stderr, repeats)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            repeats,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            lines.with_dropped,
            renderer,
        ],
        wrapper_class=_steady(level, lines),
        logger_factory=lambda *_: lines,
    )
    logging.raiseExceptions = False  # of libraries' own loggers


REPEATED_AFTER = 60.0
"""Seconds in which the same trouble is written once."""

MOST_REMEMBERED = 1000

_TROUBLE = frozenset({"warning", "error", "critical"})


class Repeats:
    """Processor: what is told again, word for word, is counted, and the next line that tells it says how often."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._told: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def __call__(self, _logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if event.get("level") not in _TROUBLE:
            return event
        same, now = repr(sorted(event.items(), key=str)), self._monotonic()
        with self._lock:
            last, count = self._told.get(same, (now - REPEATED_AFTER, 0))
            if now - last < REPEATED_AFTER:
                self._told[same] = last, count + 1
                raise structlog.DropEvent
            if len(self._told) >= MOST_REMEMBERED:
                self._told.clear()
            self._told[same] = now, 0
        if count:
            event["repeated"] = count
        return event

    def forget(self) -> None:
        """Nothing was told: a line was not written."""
        with self._lock:
            self._told.clear()


class Lines:
    """Writes lines to a stream, and counts those that it could not write."""

    def __init__(self, stream: TextIO, repeats: Repeats) -> None:
        self._stream = stream
        self._repeats = repeats
        self._lock = threading.Lock()
        self.dropped = 0

    def msg(self, line: str) -> None:
        """Write one line; never raises."""
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except Exception:  # noqa: BLE001 - whatever fails: the caller cannot do anything about it
                self.dropped += 1
                self._repeats.forget()
            else:
                self.dropped = 0  # this line has reported them

    debug = info = warning = warn = error = critical = fatal = exception = log = msg

    def drop(self) -> None:
        """Count a line that could not be made."""
        with self._lock:
            self.dropped += 1

    def with_dropped(self, _logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Processor: the line says how many were lost before it."""
        if self.dropped:
            event["lines_dropped"] = self.dropped
        return event


def _steady(level: int, lines: Lines) -> type[Any]:
    """The logger of this level, which raises nothing that its processors raise."""
    filtering: type[Any] = structlog.make_filtering_bound_logger(level)

    class Steady(filtering):  # type: ignore[misc]  # structlog makes the class when it is asked for one
        """A bound logger that drops a line instead of raising."""

        def _proxy_to_logger(self, method_name: str, event: str | None = None, **facts: Any) -> Any:
            try:
                return super()._proxy_to_logger(method_name, event, **facts)
            except Exception:  # noqa: BLE001 - as above
                lines.drop()

    return Steady


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
