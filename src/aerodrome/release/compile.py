"""`make lock`: resolve the locks anew through uv, or check that they are what a new resolution gives.

Each version is resolved twice under Airflow's own constraints: what is installed, and the whole of what Airflow's
constraints speak of, which every requirements.txt is held to.

A tool for whoever maintains the locks; nothing of a running Aerodrome calls it.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from aerodrome import errors
from aerodrome.release import locks, uv_environment, uv_process
from aerodrome.release.locks import Lock

LIST = "https://raw.githubusercontent.com/apache/airflow/constraints-{version}/constraints-{python}.txt"
"""Where Airflow has its own constraints for a version."""

LISTED = "airflow-{version}.txt"
"""The same in a folder of such files (`--constraints`)."""

_PLATFORM = "x86_64-manylinux_2_28"
"""The platform of Airflow's own constraints. What is installed fits every platform; the other pins need not."""


def arguments(lock: Lock) -> list[str]:
    """The arguments of uv for what is installed; nothing else decides how it is resolved."""
    return [
        "pip",
        "compile",
        "--no-config",
        "--universal",
        f"--python-version={lock.python}",
        *_days(lock),
        *([f"--constraints={LISTED.format(version=lock.version)}"] if lock.constrained else []),
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-header",
        lock.requirements.name,
    ]


def whole_arguments(lock: Lock) -> list[str]:
    """The arguments of uv for the whole: everything that Airflow's constraints speak of, beside what is installed."""
    return [
        "pip",
        "compile",
        "--no-config",
        f"--python-version={lock.python}",
        f"--python-platform={_PLATFORM}",
        *_days(lock),
        f"--constraints={LISTED.format(version=lock.version)}",
        f"--constraints={lock.path.name}",
        "--no-annotate",
        # Some package asks for it, and Airflow's constraints say nothing of it.
        "--no-emit-package=pip",
        "--no-emit-index-url",
        "--no-header",
        lock.requirements.name,
        _NAMES,
    ]


_NAMES = "names.in"
"""The names of the packages in Airflow's constraints, but where the lock departs; in the folder where uv runs."""


def header(lock: Lock, arguments: Sequence[str]) -> str:
    """The comment that a lock file begins with."""
    listed = ""
    if lock.constrained:
        but = f", but for {', '.join(lock.departs)} (locks.py says why)" if lock.departs else ""
        listed = f"# {LISTED.format(version=lock.version)}: Airflow's own constraints for this version{but}.\n"
    return (
        f"# {lock.title[0].upper()}{lock.title[1:]} for Python {lock.python}, from what the index offered up to"
        f" {lock.cutoff}.\n"
        f"# Written by `make lock`; do not edit. The command, beside this file:\n"
        f"#   uv {' '.join(arguments)}\n{listed}"
    )


def held(listed: Mapping[str, str], lock: Lock) -> dict[str, str]:
    """Those of Airflow's constraints under which the lock is resolved: all but those it departs from. Pure."""
    return {name: version for name, version in listed.items() if name not in lock.departs}


def listed(lock: Lock, folder: Path | None, *, fetch: Callable[[str], str]) -> dict[str, str]:
    """Airflow's constraints for the version, from the folder or, without one, from Airflow's own address.

    Raises CallerError if the folder has none for it.
    """
    if folder is None:
        return locks.pinned(fetch(LIST.format(version=lock.version, python=lock.python)))
    file = folder / LISTED.format(version=lock.version)
    try:
        return locks.pinned(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.CallerError(f"{file} cannot be read: {error.strerror}") from error


def compiled(lock: Lock, listed: Mapping[str, str], *, environ: Mapping[str, str]) -> dict[Path, str]:
    """What the lock's files should hold, resolved now. Raises BrokenError or RetryError as uv fails."""
    with tempfile.TemporaryDirectory(prefix="aerodrome-lock-") as name:
        # Elsewhere, so that the present lock cannot sway the resolution, and by bare names, which uv writes down.
        folder = Path(name)
        (folder / lock.requirements.name).write_bytes(lock.requirements.read_bytes())
        kept = held(listed, lock)
        (folder / LISTED.format(version=lock.version)).write_text(_lines(f"{n}=={v}" for n, v in kept.items()))
        (folder / _NAMES).write_text(_lines(kept))
        base = _resolved(lock, arguments(lock), folder, environ)
        found = {lock.path: header(lock, arguments(lock)) + base}
        if lock.whole is not None:
            (folder / lock.path.name).write_text(_lines(_bare(base)))
            whole = _resolved(lock, whole_arguments(lock), folder, environ)
            found[lock.whole] = header(lock, whole_arguments(lock)) + whole
        return found


def _resolved(lock: Lock, arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> str:
    output = folder / "lock.out"
    output.unlink(missing_ok=True)
    uv_process.run(
        [*arguments, f"--output-file={output}", "--quiet"],
        what=f"the lock of {lock.title} could not be resolved",
        environ=uv_environment.scrubbed(environ, uv_environment.pip_settings(environ)),
        cwd=folder,
    )
    return output.read_text()


def _bare(base: str) -> Iterator[str]:
    """The pins of a lock with their markers, without hashes."""
    for line in base.splitlines():
        if locks.pinned(line):
            yield line.removesuffix("\\").strip()


def _lines(entries: Iterable[str]) -> str:
    return "".join(f"{entry}\n" for entry in entries)


def _fetched(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310 - https, by LIST
            return str(answer.read().decode())
    except OSError as error:
        raise errors.RetryError(
            f"Airflow's constraints cannot be fetched ({error}); name a folder that has them: make lock CONSTRAINTS=…",
            delay=_PATIENCE,
        ) from error


_PATIENCE = 30.0
"""Seconds for Airflow's address to answer."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write every lock, or with `--check` print how they differ; 1 means that some differ or could not be resolved."""
    parser = argparse.ArgumentParser(prog="python -m aerodrome.release.compile", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; show differences and fail on any")
    parser.add_argument(
        "--constraints", metavar="FOLDER", help="where Airflow's constraints lie (Airflow's own address)"
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", help="Airflow versions, or programs (all)")
    options = parser.parse_args(argv)
    folder = Path(options.constraints).resolve() if options.constraints else None
    fresh: dict[Path, str] = {}
    try:
        known = {**locks.LOCKS, locks.PROGRAMS.version: locks.PROGRAMS}
        for lock in [known.get(version) or locks.of(version) for version in options.versions or known]:
            theirs = listed(lock, folder, fetch=_fetched) if lock.constrained else {}
            fresh |= compiled(lock, theirs, environ=os.environ)
    except errors.AerodromeError as error:
        return _failed(error)
    if options.check:
        return _report(fresh)
    for path, text in fresh.items():
        path.write_text(text)
        sys.stdout.write(f"wrote {path.name}\n")
    return 0


def _report(fresh: Mapping[Path, str]) -> int:
    differ = 0
    for path, text in fresh.items():
        there = path.read_text() if path.exists() else ""
        lines = list(difflib.unified_diff(there.splitlines(), text.splitlines(), path.name, "resolved now"))
        sys.stdout.writelines(f"{line}\n" for line in lines)
        differ += bool(lines)
    sys.stdout.write(f"{differ} of {len(fresh)} locks differ\n")
    return int(differ > 0)


def _failed(error: errors.AerodromeError) -> int:
    tail = error.tail if isinstance(error, errors.BrokenError) else ()
    sys.stderr.writelines(f"{line}\n" for line in (*tail, str(error)))
    return 1


def _days(lock: Lock) -> list[str]:
    later = [f"--exclude-newer-package={package}={_end_of(day)}" for package, day in lock.later]
    return [f"--exclude-newer={_end_of(lock.cutoff)}", *later]


def _end_of(day: date) -> str:
    # A bare date means midnight in the time zone of the machine; a lock must not depend on where it is compiled.
    return f"{day + timedelta(days=1)}T00:00:00Z"


if __name__ == "__main__":
    sys.exit(main())
