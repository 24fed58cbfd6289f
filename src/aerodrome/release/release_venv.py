"""A virtual environment of a release's own: the version's packages, without those that the release replaces.

`building` calls it where a requirement replaces a package that Airflow came with by another version. The release's own
packages lie in its `site/`, as in every release. Here is only what they stand on, as hard links to the version's own
files; nobody but us may write to either.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.utils import canonicalize_name

from aerodrome.release import installation, interpreter_hook, sandbox, uv_environment, uv_process
from aerodrome.release.installation import Installation

_EVERY = 1000
"""Files between two calls of `tick`, by which the caller may stop us."""


def make(
    version: Installation,
    site: Path,
    gone: Collection[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    tick: Callable[[], None] = lambda: None,
) -> Installation:
    """Make it in `folder`, without the packages `gone` (normalised names), and give it as an installation there.

    `site` is the version's folder of packages. Raises BrokenError if uv fails, and OSError.
    """
    made = replace(version, own=folder / installation.VENV)
    uv_process.run(
        ["venv", "--no-project", "--offline", f"--python={version.python.resolve()}", str(made.venv)],
        what="the release's own virtual environment could not be made",
        environ=uv_environment.scrubbed(environ, uv_environment.PipSettings()),
        cwd=folder,
        tick=tick,
        hold=sandbox.held(),
    )
    left_out = files_of(site, gone)
    for number, path in enumerate(_files(version.venv)):
        if number % _EVERY == 0:
            tick()
        if path in left_out or _source(path) in left_out:
            continue
        target = made.venv / path.relative_to(version.venv)
        if not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _give(path, target, version, made)
    interpreter_hook.add(made.venv)
    installation.let_all_read(made.venv)
    return made


def files_of(site: Path, packages: Collection[str]) -> set[Path]:
    """The files of installed packages, by their own records."""
    found = set()
    for record in site.glob("*.dist-info/RECORD"):
        if canonicalize_name(record.parent.name.removesuffix(".dist-info").rpartition("-")[0]) in packages:
            lines = record.read_text(encoding="utf-8").splitlines()
            named = (line.rsplit(",", 2)[0].strip('"') for line in lines)
            found |= {Path(os.path.normpath(site / name)) for name in named}
            found |= set(record.parent.iterdir())
    return found


def _source(path: Path) -> Path | None:
    """The source of a compiled file; None = it is none."""
    return path.parent.with_name(f"{path.name.split('.')[0]}.py") if path.parent.name == "__pycache__" else None


def _files(venv: Path) -> list[Path]:
    return [Path(parent, name) for parent, _, names in os.walk(venv) for name in names]


def _give(path: Path, target: Path, version: Installation, made: Installation) -> None:
    """Put the file under its new name; a script that names the version's interpreter then names the new one."""
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.parent == version.venv / "bin":
        data = path.read_bytes()
        target.write_bytes(
            data.replace(os.fsencode(version.venv), os.fsencode(made.venv)) if data[:2] == b"#!" else data
        )
        shutil.copymode(path, target)
        return
    try:
        target.hardlink_to(path)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(path, target)  # with its time, which compiled files are matched by
