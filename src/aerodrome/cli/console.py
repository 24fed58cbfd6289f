"""How every command prints, and how it ends when something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from aerodrome.cli import rendering
from aerodrome.errors import AerodromeError
from aerodrome.settings import Settings


class Voice(Console):
    """A console that knows whether somebody looks: what goes into a pipe or a file is never wrapped and has no colour.

    It asks the file itself. So FORCE_COLOR, which CI systems set, gives a script no escape sequences.
    """

    @property
    def is_terminal(self) -> bool:
        """Whether a terminal shows what is printed."""
        return bool(self.file.isatty())

    def print(self, *objects: Any, **given: Any) -> None:
        """Print as rich does; outside a terminal each line is printed whole, however long."""
        given.setdefault("highlight", False)
        if not self.is_terminal:
            given["soft_wrap"] = True
        super().print(*objects, **given)


out = Voice()
err = Voice(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@contextmanager
def told() -> Iterator[Settings]:
    """The settings. An error that has a sentence ends the command with that sentence and exit code 1."""
    try:
        yield Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "AERODROME_" + "_".join(map(str, problem["loc"])).upper()
            err.print(Text.assemble((name, "red"), ": ", problem["msg"]))
        raise typer.Exit(1) from None
    except AerodromeError as error:
        refuse(error)
        raise typer.Exit(1) from None


def refuse(error: AerodromeError) -> None:
    """Say what is wrong, and below it the last lines of the log at fault."""
    err.print(Text.assemble(("error:", "red"), " ", rendering.clean(str(error))), soft_wrap=True)
    for line in rendering.log_lines(getattr(error, "tail", ())):
        err.print(line, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document for a script."""
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")
