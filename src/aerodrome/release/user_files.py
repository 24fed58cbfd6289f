"""What a release is built from: a user's files, their hashes, and how one names another.

`building` calls it. It reads files and decides nothing about them.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from aerodrome.airflow import option_variables
from aerodrome.release import confined_requirements, requirements_text
from aerodrome.release.build_inputs import BuildInputs
from aerodrome.release.locks import Lock
from aerodrome.release.plugins import read as read_archived
from aerodrome.unix_users import UnixUser

PLUGINS = Path("/usr/local/airflow/plugins")
DAGS = Path("/usr/local/airflow/dags")
"""Where MWAA has them, and where requirements, DAGs and plugins of its users look for them."""

_MOST_INCLUDED = 50
_CHUNK = 2**20


@dataclass(frozen=True, kw_only=True)
class UserFiles:
    """The files of one environment, or of one folder that `aerodrome check` is run in."""

    requirements: bytes | None = None
    plugins: Path | None = None
    """A plugins.zip, or a folder of plugins."""

    startup: bytes | None = None
    dags: Callable[[str], bytes | None] = field(default=lambda _: None, repr=False)
    """Gives a file among the DAGs by its path there, because requirements may name constraints there; None = no such
    file.

    It must always give the same: it is called for the release's hash, and again for its build.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    """What the startup script and DAGs find in their environment, such as AIRFLOW_ENV_NAME. No secrets."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the startup script finds besides, such as how to reach AWS; it is no part of the release's identity."""

    user: UnixUser | None = None
    """Whom an archive and requirements are read as, where we are root; `building` sets it."""

    reader: str = ""
    """Whose rights the startup script reads with: nobody else may use a release that it made."""


Including = Callable[[Mapping[str, bytes], UnixUser | None], list[str]]
"""As `confined_requirements.included`."""


def inputs_of(
    sources: UserFiles,
    lock: Lock,
    options: Mapping[str, str] = MappingProxyType({}),
    included: Including = confined_requirements.included,
) -> BuildInputs:
    """The build inputs: the files' bytes, and the values of the options that requirements name as variables."""
    return BuildInputs(
        version=lock.version,
        lock=lock.pins_sha256,
        requirements=_requirements(sources, options, included) if sources.requirements is not None else None,
        plugins=_digest(_files(sources.plugins)) if sources.plugins else None,
        startup=hashlib.sha256(sources.startup).hexdigest() if sources.startup is not None else None,
        variables=tuple(sorted(sources.variables.items())),
        reader=sources.reader,
    )


def file(sources: UserFiles, path: str) -> bytes | None:
    """A file that requirements name by its path: see `requirements.Reader`."""
    pure = PurePosixPath(path)
    if ".." in pure.parts:
        return None
    if pure.is_relative_to(PLUGINS):
        return _of_plugins(sources.plugins, str(pure.relative_to(PLUGINS)), sources.user)
    if pure.is_relative_to(DAGS):
        return sources.dags(str(pure.relative_to(DAGS)))
    return None


def _requirements(sources: UserFiles, options: Mapping[str, str], included: Including) -> str:
    """The hash of requirements.txt and of everything that it includes or takes from an option, however deep."""
    found = {"": sources.requirements or b""}
    left = dict(found)
    while left and len(found) < _MOST_INCLUDED:
        new = [path for path in included(left, sources.user) if path not in found]
        left = {path: data for path in new[:_MOST_INCLUDED] if (data := file(sources, path)) is not None}
        found |= left
    for name, value in option_variables.of(options).items():
        if any(f"${{{name}}}".encode() in data for data in found.values()):
            found[f"${name}"] = value.encode()
    return _digest((name, iter([data])) for name, data in sorted(found.items()))


def _of_plugins(plugins: Path | None, name: str, user: UnixUser | None) -> bytes | None:
    if plugins is None or plugins.is_dir():
        return _below(plugins, name)
    try:
        return read_archived(plugins, name, user)
    except OSError:
        return None


def among(folder: Path | None) -> Callable[[str], bytes | None]:
    """A function that gives the files of a folder; none if there is no folder."""
    return partial(_below, folder)


def _below(folder: Path | None, name: str) -> bytes | None:
    if folder is None:
        return None
    try:
        path = (folder / name).resolve(strict=True)
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(requirements_text.LARGEST + 1)
    except OSError:
        return None


def _files(plugins: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    if not plugins.is_dir():
        yield "", _chunks(plugins)
        return
    for path in sorted(plugins.rglob("*")):
        if path.is_file() and not path.is_symlink() and not {"__pycache__", ".git"} & set(path.parts):
            program = "program " if path.stat().st_mode & stat.S_IXUSR else ""
            yield program + path.relative_to(plugins).as_posix(), _chunks(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _digest(files: Iterator[tuple[str, Iterator[bytes]]]) -> str:
    """The hash of names and contents; neither can be mistaken for the other."""
    total = hashlib.sha256()
    for name, chunks in files:
        one = hashlib.sha256()
        for chunk in chunks:
            one.update(chunk)
        total.update(f"{len(name)}:{name}:{one.hexdigest()}\n".encode())
    return total.hexdigest()
