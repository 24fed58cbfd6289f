"""`make lock`: resolve the locks anew through uv, or check that they are what a new resolution gives.

A tool for whoever maintains the locks; nothing of a running Aerodrome calls it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from aerodrome import errors
from aerodrome.release import locks, uv_environment, uv_process
from aerodrome.release.locks import Lock


def arguments(lock: Lock) -> list[str]:
    """The arguments of uv for this lock, run in the folder of the locks: the whole truth of how it was resolved."""
    later = [f"--exclude-newer-package={package}={_end_of(day)}" for package, day in lock.later]
    return [
        "pip",
        "compile",
        "--no-config",
        "--universal",
        f"--python-version={lock.python}",
        f"--exclude-newer={_end_of(lock.cutoff)}",
        *later,
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-header",
        lock.requirements.name,
    ]


def header(lock: Lock) -> str:
    """The comment that a lock file begins with."""
    return (
        f"# Airflow {lock.version} for Python {lock.python}, from what the index offered up to {lock.cutoff}.\n"
        "# Written by `make lock`; do not edit. The command, in this folder:\n"
        f"#   uv {' '.join(arguments(lock))}\n"
    )


def compiled(lock: Lock, *, environ: Mapping[str, str]) -> str:
    """What the lock file should hold, resolved now. Raises BrokenError or RetryError as uv fails."""
    with tempfile.TemporaryDirectory(prefix="aerodrome-lock-") as folder:
        # Written elsewhere, so that the present lock cannot sway the resolution.
        output = Path(folder) / "lock.txt"
        uv_process.run(
            [*arguments(lock), f"--output-file={output}", "--quiet"],
            what=f"the lock of Airflow {lock.version} could not be resolved",
            environ=uv_environment.scrubbed(environ, uv_environment.pip_settings(environ)),
            cwd=locks.FOLDER,
        )
        return header(lock) + output.read_text()


def main(argv: Sequence[str] | None = None) -> int:
    """Write every lock, or with `--check` print how they differ; 1 means that some differ or could not be resolved."""
    parser = argparse.ArgumentParser(prog="python -m aerodrome.release.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; show differences and fail on any")
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="Airflow versions (all)")
    options = parser.parse_args(argv)
    try:
        chosen = [locks.of(version) for version in options.versions or locks.LOCKS]
        fresh = {lock: compiled(lock, environ=os.environ) for lock in chosen}
    except errors.AerodromeError as error:
        return _failed(error)
    if options.check:
        return _report(fresh)
    for lock, text in fresh.items():
        lock.path.write_text(text)
        sys.stdout.write(f"wrote {lock.path.name}\n")
    return 0


def _report(fresh: Mapping[Lock, str]) -> int:
    differ = 0
    for lock, text in fresh.items():
        there = lock.path.read_text() if lock.path.exists() else ""
        lines = list(difflib.unified_diff(there.splitlines(), text.splitlines(), lock.path.name, "resolved now"))
        sys.stdout.writelines(f"{line}\n" for line in lines)
        differ += bool(lines)
    sys.stdout.write(f"{differ} of {len(fresh)} locks differ\n")
    return int(differ > 0)


def _failed(error: errors.AerodromeError) -> int:
    tail = error.tail if isinstance(error, errors.BrokenError) else ()
    sys.stderr.writelines(f"{line}\n" for line in (*tail, str(error)))
    return 1


def _end_of(day: date) -> str:
    # A bare date means midnight in the time zone of the machine; a lock must not depend on where it is compiled.
    return f"{day + timedelta(days=1)}T00:00:00Z"


if __name__ == "__main__":
    sys.exit(main())
