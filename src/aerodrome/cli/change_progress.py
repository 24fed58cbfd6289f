"""Waits for the end of a change, and shows a bar with its phase and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from aerodrome.cli import operator_client
from aerodrome.errors import CallerError
from aerodrome.settings import Settings

PAUSE = 0.25
"""Seconds between two looks."""

SETTLED = frozenset({"AVAILABLE", "UPDATE_FAILED", "CREATE_FAILED", "UNAVAILABLE"})


def end_of_change(settings: Settings, environment: str, console: Console) -> dict[str, Any]:
    """The environment as `/status` tells it, once its change has ended.

    Raises:
        CallerError: it was deleted meanwhile.
    """
    return until(settings, environment, console, lambda found: found["status"] in SETTLED)


def until(
    settings: Settings, environment: str, console: Console, is_done: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """The environment as `/status` tells it, once that is so.

    Raises:
        CallerError: it was deleted meanwhile.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{environment} …", total=None)
        while True:
            found = _look(settings, environment)
            if is_done(found):
                return found
            progress = found["progress"]
            fraction = progress["fraction"]
            total = None if fraction is None else 1.0
            bar.update(
                task, description=f"{progress['phase']}: {progress['detail']}", total=total, completed=fraction or 0.0
            )
            time.sleep(PAUSE)


def _look(settings: Settings, environment: str) -> dict[str, Any]:
    for each in operator_client.ask(settings, "GET", "/status")["environments"]:
        if each["name"] == environment:
            return dict(each)
    raise CallerError(f"{environment} was deleted meanwhile.")
