"""One row a measure, and the table of them for a terminal or for Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure of ours beside stock's; `bar` bounds the ratio, or our figure itself where stock has none.

    Without a bar it is only told.
    """

    what: str
    ours: float
    stock: float | None
    unit: str
    bar: float | None

    @property
    def judged(self) -> float:
        return self.ours if self.stock is None else self.ours / self.stock

    @property
    def met(self) -> bool:
        return self.bar is None or self.judged <= self.bar

    def cells(self) -> tuple[str, ...]:
        stock = "-" if self.stock is None else f"{self.stock:.2f} {self.unit}"
        ratio = "-" if self.stock is None else f"{self.judged:.2f}"
        figures = (self.what, f"{self.ours:.2f} {self.unit}", stock, ratio)
        if self.bar is None:
            return (*figures, "-", "")
        bar = f"≤ {self.bar:g}" + ("" if self.stock is not None else f" {self.unit}")
        return (*figures, bar, "met" if self.met else "MISSED")


HEAD = ("measure", "Aerodrome", "stock Airflow", "ratio", "bar", "")


def show(rows: Sequence[Row], machine: str, *, markdown: bool) -> None:
    """Print the table on standard output."""
    if markdown:
        lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
        print("\n".join([*lines, "", f"Measured on {machine}."]))
        return
    drawn = Table(title=f"Measured on {machine}", box=None, header_style="bold")
    for column in HEAD:
        drawn.add_column(column)
    for row in rows:
        drawn.add_row(*row.cells(), style="" if row.met else "red")
    Console().print(drawn)
