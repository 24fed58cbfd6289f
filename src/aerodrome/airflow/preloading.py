"""Which third-party modules the warm process of a version imports before it forks.

The lists are in preload/, one file for each version; `python -m aerodrome.airflow.preloading <version> <interpreter>`
makes them whenever a lock changes. They hold no module of Airflow itself: Airflow's modules read an environment's
configuration when they are imported, third-party modules do not.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aerodrome.airflow import versions
from aerodrome.airflow.context import INSIDE

FOLDER = Path(__file__).with_name("preload")

TIMEOUT = 300
"""Seconds; the generator imports all of Airflow twice."""


def file(version: str) -> Path:
    """The list of `version`: one module name a line, in import order."""
    return FOLDER / f"{version}.txt"


def command(version: str, interpreter: Path) -> tuple[str, ...]:
    """The command that prints the list."""
    return (str(interpreter), "-I", str(INSIDE / "list_modules.py"), str(versions.lookup(version).line))


def generate(version: str, interpreter: Path) -> int:
    """Write the list of `version` and return its length."""
    result = subprocess.run(
        command(version, interpreter), check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, env={"HOME": "/"}
    )
    file(version).write_text(result.stdout)
    return len(result.stdout.splitlines())


if __name__ == "__main__":
    number = generate(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(f"{file(sys.argv[1]).name}: {number} modules\n")
