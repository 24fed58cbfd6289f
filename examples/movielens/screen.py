"""What the quickstart shows: bars while it works, tables and next steps at the end."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from . import failure, progress

COLOURS = {progress.WAITING: "dim", progress.UNDER_WAY: "cyan", progress.DONE: "green", progress.FAILED: "red"}

BAR_WIDTH = 12
"""Characters; leaves room for the longest task name on a terminal of 80."""

COLUMNS = ("title", "year", "genres", "fans", "rating", "tag")
NUMBERS = {"year", "fans", "rating"}
"""What is shown of a film; the API sends the columns in any order."""

CREATION = "Create the environment"
"""The phase under which the steps of the creation are listed."""


class Screen:
    """The terminal, or the lines of a log when nobody watches."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say what is under way, and then that it is done."""
        with self._console.status(name):
            yield
        self._console.print(f"[green]✓[/] {name}")

    @contextmanager
    def bars(self, title: str) -> Iterator[Board]:
        """Show bars for the length of a `with` block; they stay on the screen after it."""
        self._console.print(f"[bold]{title}[/]")
        if not self._console.is_terminal:
            yield Board(self._console, None)
            return
        with Live(console=self._console, refresh_per_second=8) as live:
            yield Board(self._console, live)

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Show the best loved films."""
        table = Table(title="The best loved films, as loaded into the warehouse", box=SIMPLE_HEAD, pad_edge=False)
        for name in COLUMNS:
            table.add_column(name, justify="right" if name in NUMBERS else "left")
        for row in rows:
            table.add_row(*(escape("" if row.get(name) is None else str(row[name])) for name in COLUMNS))
        self._console.print(table)

    def phases(self, phases: progress.Phases, creation: Sequence[progress.Bar]) -> None:
        """Show how long each phase took; the phases of the environment's creation are set off."""
        table = Table(title="Where the time went", show_footer=True, box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("phase", footer="in all")
        table.add_column("seconds", justify="right", footer=f"{phases.total:.1f}")
        for name, seconds in phases.seconds.items():
            table.add_row(name, f"{seconds:.1f}")
            if name == CREATION:
                for bar in creation:
                    table.add_row(f"  {escape(bar.name)}", f"{bar.seconds or 0:.1f}", style="dim")
        self._console.print(table)

    def next_steps(self, environment: str, bucket: str, login: str, *, path_to_add: Path | None) -> None:
        """Say what a curious person would do now; `login` is a link that works once, within a minute."""
        self._console.print("\n[bold]Open Airflow[/] (once, within a minute; the browser must accept our certificate)")
        self._console.print(f"  {login}", highlight=False, markup=False, soft_wrap=True)
        first = {f'export PATH={shlex.quote(str(path_to_add))}:"$PATH"': "let this shell find aerodrome"}
        steps = {
            **(first if path_to_add else {}),
            f"aerodrome login {environment}": "another link like this one",
            "aerodrome trust": "how browsers and tools trust the certificate",
            'eval "$(aerodrome env)"': "point aws, boto3 and Terraform here",
            "aerodrome status": "what runs, and how it is",
            f"aws s3 cp my_dag.py s3://{bucket}/dags/": "your own DAG, listed within seconds",
            f"aws mwaa delete-environment --name {environment}": "remove the environment",
            "aerodrome down": "stop everything; the data stays",
        }
        width = max(map(len, steps))
        self._console.print("\n[bold]What next[/]")
        for command, words in steps.items():
            self._console.print(f"  {command:<{width}}  # {words}", highlight=False, markup=False, soft_wrap=True)

    def failed(self, error: failure.QuickstartError) -> None:
        """Say what failed and where to look."""
        self._console.print(f"[red]✗[/] {escape(str(error))}\n  Next: {escape(error.look)}", highlight=False)


class Board:
    """The bars of one phase."""

    def __init__(self, console: Console, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._said: dict[str, str] = {}

    def show(self, bars: Sequence[progress.Bar]) -> None:
        """Show the bars as they are now; without a terminal, a line for each that began or ended."""
        if self._live is not None:
            self._live.update(_table(bars))
            return
        for bar in bars:
            if bar.meaning not in {progress.WAITING, self._said.get(bar.name)}:
                self._said[bar.name] = bar.meaning
                note = f": {bar.note}" if bar.note else ""
                self._console.print(f"  {bar.name} {bar.meaning}{note}", highlight=False, markup=False)


def _table(bars: Sequence[progress.Bar]) -> Table:
    table = Table.grid(padding=(0, 2))
    for overflowing in (False, False, False, True):
        table.add_column(no_wrap=True, overflow="ellipsis" if overflowing else "fold")
    for bar in bars:
        colour = COLOURS[bar.meaning]
        over = bar.meaning in {progress.DONE, progress.FAILED}
        unknown = bar.meaning == progress.UNDER_WAY and bar.share is None
        share = 1.0 if over else bar.share or 0.0
        line = ProgressBar(total=1, completed=share, width=BAR_WIDTH, pulse=unknown, finished_style=colour)
        seconds = "" if bar.seconds is None else f"{bar.seconds:.1f} s"
        table.add_row(f"  [{colour}]{escape(bar.name)}[/]", line, seconds, f"[dim]{escape(bar.note)}[/]")
    return table
