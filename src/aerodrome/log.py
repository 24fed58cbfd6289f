"""Structured logging: one line an event, to standard error or a file, never a secret.

Rooms take a logger by `structlog.get_logger(...)`; only the entry points call `configure`.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, level: int = logging.INFO, json: bool | None = None) -> None:
    """Set up structlog for this process. `json=None` means: JSON unless standard error is a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
