"""How every command speaks: where it prints, and how it ends when something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from aerodrome.errors import AerodromeError
from aerodrome.settings import Settings

out = Console()
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


@contextmanager
def told() -> Iterator[Settings]:
    """The settings; every error that has a sentence ends the command with that sentence and exit code 1."""
    try:
        yield Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "AERODROME_" + "_".join(map(str, problem["loc"])).upper()
            err.print(f"[red]{name}[/red]: {problem['msg']}", highlight=False)
        raise typer.Exit(1) from None
    except AerodromeError as error:
        err.print(f"[red]error:[/red] {error}", highlight=False, soft_wrap=True)
        for line in getattr(error, "tail", ()):
            err.print(f"  {line}", style="dim", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None


def print_json(document: Any) -> None:
    """One JSON document for a script."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
