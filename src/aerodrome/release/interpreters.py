"""Find a Python of the line that a lock needs: in named folders, uv's own, on PATH, under pyenv, or downloaded by uv.

`install` calls `find`. The choice is pure (`choose`) and separate from looking and trying. It installs no package.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aerodrome import errors
from aerodrome.release import uv_environment, uv_output, uv_process

_NEEDED = ("ctypes", "hashlib", "lzma", "multiprocessing.synchronize", "sqlite3", "ssl", "zlib")
"""Standard modules that Airflow imports and that a Python built without their C libraries lacks. Not ensurepip: uv
makes the virtual environment."""

_PROBE = f"""
import importlib, json, sys
missing = []
for name in {_NEEDED!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
print(json.dumps([
    list(sys.version_info[:3]), sys.version_info.releaselevel, sys.implementation.name,
    getattr(sys, "_base_executable", None) or sys.executable, missing,
]))
"""

_PROBE_LIMIT = 20.0
"""Seconds for a Python to start and say what it is, on a very busy machine."""

_REFUSALS_SHOWN = 5


@dataclass(frozen=True)
class Interpreter:
    """A Python that starts and has what Airflow needs."""

    path: Path
    version: tuple[int, int, int]
    shared: bool
    """Whether every user of the machine may execute it: units of an environment may run under a uid of their own."""


@dataclass(frozen=True)
class UnusablePython:
    """A Python that was found and cannot serve."""

    path: Path
    reason: str


@dataclass(frozen=True, kw_only=True)
class InterpreterFolders:
    """Where to look."""

    folders: Sequence[Path] = ()
    """Named by a person (`AERODROME_PYTHON_FOLDERS`); each contains Pythons, or installations of Python, or is one."""

    downloads: Path
    """The folder that uv downloads a Python into when none is found."""

    environ: Mapping[str, str]
    """The control plane's environment: PATH, HOME, PYENV_ROOT, and uv's variables."""


def places(versions: Path, environ: Mapping[str, str], folders: Sequence[Path] = ()) -> InterpreterFolders:
    """Where to look when Airflow is installed into the folder `versions`."""
    return InterpreterFolders(folders=folders, downloads=versions / "python", environ=environ)


def named_folders(setting: str) -> tuple[Path, ...]:
    """The folders that `settings.python_folders` names."""
    return tuple(Path(folder).expanduser() for folder in setting.split(os.pathsep) if folder)


def find(
    line: str, places: InterpreterFolders, *, for_others: bool = False, tick: Callable[[], None] = lambda: None
) -> Interpreter:
    """The best Python of a line such as `3.12`, downloaded if there is none.

    `for_others`: prefer one that every user may execute. `tick` is called while uv downloads; what it raises stops uv.
    Raises BrokenError with what to do if no Python can be had.
    """
    tried = [inspect(path) for path in candidates(line, places)]
    chosen = choose(tried, line, for_others=for_others)
    if chosen is not None:
        return chosen
    reason = _download(line, places, tick)
    chosen = choose([inspect(path) for path in _below(places.downloads, f"python{line}")], line, for_others=for_others)
    if chosen is None:
        raise _none_found(line, tried, reason)
    return chosen


def look(line: str, places: InterpreterFolders, *, for_others: bool = False) -> Interpreter | None:
    """The best Python of the line that is on this machine now; nothing is downloaded."""
    return choose([inspect(path) for path in candidates(line, places)], line, for_others=for_others)


def refusal(version: str, line: str, places: InterpreterFolders) -> errors.CallerError | None:
    """The refusal of an Airflow version whose Python is not here and that uv was told not to download.

    None = it is here, or uv may try; if that fails, `find` says the same.
    """
    if may_download(places.environ) or look(line, places) is not None:
        return None
    return errors.CallerError(
        f"Airflow {version} needs Python {line}, and none was found on this machine. {how_to_get(line)}."
    )


def may_download(environ: Mapping[str, str]) -> bool:
    """Whether uv's own variables let it fetch a Python."""
    is_offline = environ.get("UV_OFFLINE", "").lower() in {"1", "true", "yes", "on", "t", "y"}
    return not is_offline and environ.get("UV_PYTHON_DOWNLOADS", "").lower() not in {"never", "manual"}


def how_to_get(line: str) -> str:
    """What a person does to get a Python of the line."""
    return (
        f"Install Python {line} (your package manager, pyenv, or `uv python install {line}`), "
        "or name its folder in AERODROME_PYTHON_FOLDERS"
    )


def choose(tried: Iterable[Interpreter | UnusablePython], line: str, *, for_others: bool) -> Interpreter | None:
    """The newest patch level of the line; among equals the first. Pure."""
    wanted = tuple(int(part) for part in line.split("."))
    fitting = [found for found in tried if isinstance(found, Interpreter) and found.version[: len(wanted)] == wanted]
    return max(fitting, key=lambda found: (found.shared or not for_others, found.version), default=None)


def candidates(line: str, places: InterpreterFolders) -> list[Path]:
    """Paths that look like a Python of the line, each file once; what a person named comes first."""
    name = f"python{line}"
    seen: dict[Path, Path] = {}
    for path in _everywhere(name, places):
        if os.access(path, os.X_OK) and path.is_file():
            seen.setdefault(path.resolve(), path)
    return list(seen.values())


def inspect(path: Path) -> Interpreter | UnusablePython:
    """Start the Python and ask what it is."""
    try:
        answer = subprocess.run(
            [path, "-I", "-c", _PROBE], env={}, capture_output=True, check=True, timeout=_PROBE_LIMIT, cwd="/"
        )
        version, level, implementation, executable, missing = json.loads(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return UnusablePython(path, f"does not start ({type(error).__name__})")
    if implementation != "cpython" or level != "final":
        return UnusablePython(path, f"is not a released CPython ({implementation}, {level})")
    if missing:
        return UnusablePython(path, f"was built without {', '.join(missing)}")
    base = Path(executable)
    return Interpreter(base, (version[0], version[1], version[2]), shared=open_to_all(base.resolve()))


def _everywhere(name: str, places: InterpreterFolders) -> Iterator[Path]:
    environ = places.environ
    home = Path(environ.get("HOME", "/nonexistent"))
    for folder in places.folders:
        yield from (folder / name, folder / "bin" / name)
        yield from _below(folder, name)
    yield from _below(places.downloads, name)
    uv_data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "uv" / "python"
    yield from _below(Path(environ.get("UV_PYTHON_INSTALL_DIR") or uv_data), name)
    yield from (Path(folder) / name for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder)
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv") / "versions"
    yield from _below(pyenv, name)


def _below(folder: Path, name: str) -> list[Path]:
    return sorted(folder.glob(f"*/bin/{name}"))


def open_to_all(path: Path) -> bool:
    """Whether every user of the machine can reach this program or folder."""
    try:
        return bool(path.stat().st_mode & 0o001) and all(parent.stat().st_mode & 0o001 for parent in path.parents)
    except OSError:
        return False


def _download(line: str, places: InterpreterFolders, tick: Callable[[], None]) -> str:
    """Let uv download a Python; returns why it could not, or an empty string."""
    environ = uv_environment.scrubbed(places.environ, uv_environment.pip_settings(places.environ))
    places.downloads.mkdir(parents=True, exist_ok=True)
    try:
        uv_process.run(
            ["python", "install", line, f"--install-dir={places.downloads}", "--no-bin"],
            what="uv could not download it",
            environ=environ,
            cwd=places.downloads,
            tick=tick,
        )
    except uv_process.UvCancelledError:
        raise
    except (errors.BrokenError, errors.RetryError) as error:
        return str(error)
    return ""


def _none_found(line: str, tried: Sequence[Interpreter | UnusablePython], reason: str) -> errors.BrokenError:
    refused = tuple(f"{found.path} {found.reason}" for found in tried if isinstance(found, UnusablePython))[
        :_REFUSALS_SHOWN
    ]
    return errors.BrokenError(
        f"no Python {line} was found, and {reason or 'the one that uv downloaded does not serve'}. {how_to_get(line)}",
        code=uv_output.CODE,
        tail=refused,
    )
