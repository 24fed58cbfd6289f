"""How `aerodrome dev` prints: for a person a line for each event, for a script a JSON document."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from aerodrome.cli import rendering


class Mark(Enum):
    """The mark before a line."""

    GOOD = ("✓", "green")
    BAD = ("✗", "red")
    UP = ("↑", "cyan")
    DOWN = ("↓", "cyan")
    WORK = ("…", "cyan")
    NOTE = ("!", "yellow")
    PLAIN = (" ", "")


class Teller:
    """Prints events; while something takes its time, it shows a bar below them.

    When nobody reads any more (a closed terminal, the end of a pipe), it raises KeyboardInterrupt, once: what was
    started must be stopped all the same.
    """

    def __init__(self, console: Console, now: Callable[[], datetime], *, as_json: bool) -> None:
        self._console = console
        self._now = now
        self.as_json = as_json
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._deserted = False
        self._said = ""

    def say(self, event: str, mark: Mark, sentence: str, **about: Any) -> None:
        """Print an event; `about` is for scripts."""
        with self._heard():
            self._say(event, mark, sentence, about)

    def _say(self, event: str, mark: Mark, sentence: str, about: dict[str, Any]) -> None:
        at = self._now()
        if self.as_json:
            document = {"at": at.isoformat(timespec="milliseconds"), "event": event, "sentence": sentence, **about}
            sys.stdout.write(json.dumps(document, default=str) + "\n")
            sys.stdout.flush()
            return
        sign, style = mark.value
        first, *rest = sentence.splitlines() or [""]
        time = f"{at.astimezone():%H:%M:%S} "
        self._console.print(Text.assemble((time, "dim"), (f"{sign} ", style), rendering.clean(first)), soft_wrap=True)
        for line in rest:
            self._console.print(
                Text.assemble(" " * (len(time) + 2), rendering.clean(line), style="dim"), soft_wrap=True
            )

    def progress(self, phase: str, detail: str, fraction: float | None) -> None:
        """Show how far something is: a bar in a terminal, elsewhere a line for each phase."""
        if self.as_json or not self._console.is_terminal:
            if phase != self._said:
                self._said = phase
                self.say("progress", Mark.WORK, detail or phase, phase=phase, fraction=fraction)
            return
        with self._heard():
            self._move(f"{phase}: {detail}" if detail else phase, fraction)

    def _move(self, words: str, fraction: float | None) -> None:
        if self._bar is None:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("")
            self._bar.start()
        assert self._task is not None  # noqa: S101 - made with the bar
        total = None if fraction is None else 1.0
        self._bar.update(self._task, description=words, total=total, completed=fraction or 0.0)

    def quiet(self) -> None:
        """Remove the bar."""
        self._said = ""
        if self._bar is not None:
            bar, self._bar, self._task = self._bar, None, None
            with self._heard():
                bar.stop()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SystemExit):  # rich turns a broken pipe into the latter
            if not self._deserted:
                self._deserted = True
                raise KeyboardInterrupt from None
