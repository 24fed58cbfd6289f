"""Run a startup script once for each component, in a scratch process; keep what it exported, and what it wrote.

`building` calls `run`. As on MWAA, bash sources the script, `exit` ends it without losing what it exported, and it has
five minutes. It finds AIRFLOW_HOME where units find it. What it writes there belongs to the release; the rest is lost,
and notes say so (`startup_notes`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aerodrome import private_files, trees
from aerodrome.airflow import startup_variables
from aerodrome.cell import mounts
from aerodrome.release import airflow_home, sandbox, sealing, startup_notes
from aerodrome.release.airflow_home import Parts
from aerodrome.release.failures import STARTUP_SCRIPT_FAILED, ReleaseError, at
from aerodrome.release.sandbox import Ended, SandboxLimits, WritablePaths
from aerodrome.unix_users import UnixUser

NAME = startup_notes.NAME

LIMIT = 300.0
"""Seconds: MWAA's five minutes."""

COMPONENTS = ("worker", "scheduler", "webserver")
"""The values of MWAA_AIRFLOW_COMPONENT. If two of them write under one name, the first one's file is kept."""

LARGEST_HOME = 2 * 2**30
"""Bytes that a script may leave below AIRFLOW_HOME; dbt with an adapter takes a third of a gibibyte."""

MOST_WRITTEN = 8 * 2**30
"""Bytes that a run may have written at any time, what is not kept among them."""

MOST_IN_HOME = 200_000
"""Files and folders there."""

MOST_AT_TOP = 1_000
"""How many of these may be directly below AIRFLOW_HOME: each is a mount, for each cell and each trial."""

_WRAPPER = Path(__file__).with_name("inside") / "startup.bash"
_BASH = "/bin/bash"
_SYNTAX_LIMIT = 20.0

_PRIVATE = 0o700

_LARGEST_SCRIPT = 1024 * 1024
_LARGEST_ANSWER = 2 * 1024 * 1024
_TAIL = 15

_ANSWERED = ("AERODROME_STATUS", "AERODROME_LINE", "AERODROME_END")
"""What the wrapper says besides the variables."""

_NOTE = "AERODROME_NOTE"

_NOT_ITS_OWN = frozenset(
    {"airflow.cfg", "dags", "logs", "plugins", "requirements", "startup", "unittests.cfg", "webserver_config.py"}
)
"""Entries below AIRFLOW_HOME that the script must not replace."""

_PASSING = frozenset({".bash_history", ".cache", "airflow.cfg", "unittests.cfg"})
"""Files that programs write by the way, and that nobody misses."""

_SYNTAX = re.compile(r": line (\d+): ")


@dataclass(frozen=True)
class Startup:
    """What a script exported, by component. Values may be secrets."""

    variables: Mapping[str, Mapping[str, str]] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, component: str) -> Mapping[str, str]:
        """The variables for a unit with this MWAA_AIRFLOW_COMPONENT."""
        return self.variables.get(component) or self.variables.get("scheduler") or {}


@dataclass(frozen=True, kw_only=True)
class ScriptContext:
    """Where a script is run, and as whom."""

    scratch: Path
    """An empty folder that the user may enter."""

    home: Path
    """The folder for what the script writes below AIRFLOW_HOME, made if it writes anything. Its parent is ours."""

    environ: Mapping[str, str] = field(repr=False)
    """What the script finds besides PATH, HOME and the component, such as AIRFLOW_ENV_NAME. A value that is the path of
    a file names a copy there: the file may be for somebody else only."""

    path: str
    """PATH."""

    plugins: Path | None = None
    """The release's plugins."""

    user: UnixUser | None = None
    """Whom to run it as, when we are root."""

    limit: float = LIMIT
    """Seconds for each run."""

    on_line: Callable[[str], None] = lambda _: None
    """Called with each line that it prints."""

    tick: Callable[[], None] = lambda: None
    """Called several times a second; what it raises ends the script."""


def run(script: bytes, context: ScriptContext) -> Startup:
    """Run the script once, or once for each component if it asks which one it is.

    Raises:
        ReleaseError: it does not parse, ends with another exit code than 0, takes too long, hides how it ended, or
            writes too much.
    """
    if len(script) > _LARGEST_SCRIPT:
        raise _failed(f"{NAME} has more than {_LARGEST_SCRIPT // 1024} KiB")
    file = context.scratch / NAME
    file.write_bytes(script.replace(b"\r\n", b"\n"))
    file.chmod(0o644)
    _check_syntax(file, context.user, context.tick)
    text = file.read_text(encoding="utf-8", errors="replace")
    components = COMPONENTS if "MWAA_AIRFLOW_COMPONENT" in text else ("scheduler",)
    found: dict[str, Mapping[str, str]] = {}
    notes: list[str] = []
    for component in components:
        ran = _Run(file, context, component)
        found[component] = ran.variables
        notes += startup_notes.of(text, ran.notes, ran.variables, ran.refused)
        notes += ran.leave(text)
    _take_over(context)
    return Startup(found, startup_notes.bounded(notes))


class _Run:
    """One run of the script, as one component."""

    def __init__(self, file: Path, context: ScriptContext, component: str) -> None:
        self._context = context
        own = context.scratch / component
        own.mkdir(mode=0o700)
        sandbox.let_in(own, context.user)
        self._temporary = own / "tmp"
        self._temporary.mkdir()
        cache = own / "cache"
        cache.mkdir()
        for folder in (self._temporary, cache):
            if context.user is not None:
                os.chown(folder, context.user.uid, context.user.gid)
        self._home = context.home  # where it stays: a virtual environment names its folder
        seen = airflow_home.lay_out(self._home, Parts(plugins=context.plugins, config_is_closed=False), context.user)
        before = {
            **context.environ, **self._files(own), "AIRFLOW_HOME": str(seen.path), "HOME": str(seen.path),
            "LANG": "C.UTF-8", "LOGNAME": "airflow", "MWAA_AIRFLOW_COMPONENT": component, "PATH": context.path,
            "TMPDIR": str(self._temporary), "TZ": "UTC", "USER": "airflow", "XDG_CACHE_HOME": str(cache),
        }  # fmt: skip
        answer = bytearray()
        ended = sandbox.run(
            [_BASH, "--noprofile", "--norc", str(_WRAPPER), str(file)],
            environ=before, cwd=seen.path, user=context.user,
            limits=SandboxLimits(context.limit, processes=sandbox.MOST_PROCESSES, disk=MOST_WRITTEN),
            views=seen.views, writable=WritablePaths((own, seen.path), self._temporary), on_line=context.on_line,
            on_message=lambda data: answer.extend(data[: _LARGEST_ANSWER - len(answer)]), tick=context.tick,
        )  # fmt: skip
        after, self.notes = _answered(bytes(answer))
        _judge(ended, after, context.limit)
        for name in (*_ANSWERED, "AERODROME_CHANNEL"):
            after.pop(name, None)
        self.variables, self.refused = startup_variables.exported(before, after)

    def leave(self, text: str) -> list[str]:
        """Move what it wrote below AIRFLOW_HOME to what is kept; returns notes on what is not kept."""
        self._home.mkdir(exist_ok=True)  # where it is not mounted, the script may have removed it
        notes = [
            startup_notes.not_kept(text, f"{airflow_home.AIRFLOW_HOME}/{entry.name}")
            for entry in self._home.iterdir()
            if entry.name in _NOT_ITS_OWN - _PASSING and self._wrote(entry)
        ]
        shared = self._temporary / mounts.own_place("/tmp")  # noqa: S108 - the script's, not ours
        lost = shared.iterdir() if shared.is_dir() else ()
        notes += [startup_notes.not_kept(text, f"/tmp/{each.name}") for each in lost if self._wrote(each)]  # noqa: S108
        kept = _kept(self._home)
        for entry in self._home.iterdir():
            if entry.name not in _NOT_ITS_OWN | _PASSING and not os.path.lexists(kept / entry.name):
                kept.mkdir(exist_ok=True)
                entry.rename(kept / entry.name)
        trees.remove(self._home)
        return notes

    def _wrote(self, entry: Path) -> bool:
        return self._context.user is not None and entry.lstat().st_uid == self._context.user.uid

    def _files(self, own: Path) -> dict[str, str]:
        """Copies, for this user, of the files that variables name, such as the token of the role's credentials."""
        found = {}
        for name, value in self._context.environ.items():
            if value.startswith("/") and Path(value).is_file():
                found[name] = str(own / name)
                private_files.write(own / name, Path(value).read_bytes(), owner=self._context.user)
        return found


def _kept(home: Path) -> Path:
    """Where all that is kept lies until the last component has run."""
    return home.with_name(f".{home.name}")


def _take_over(context: ScriptContext) -> None:
    """Move all that is kept to its place, and make it ours. By now no process of the script can run."""
    home = context.home
    kept = _kept(home)
    if not kept.exists():
        return
    kept.rename(home)
    home.chmod(sealing.FOLDER_MODE)
    size = count = 0
    for parent, folders, files in os.walk(home):
        count += len(folders) + len(files)
        for name in files:
            size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - tens of thousands of them
        if size > LARGEST_HOME or count > MOST_IN_HOME:
            raise _failed(
                f"{NAME} writes too much below AIRFLOW_HOME: {LARGEST_HOME // 2**20} MiB and {MOST_IN_HOME} files and "
                "folders are allowed"
            )
    if len(os.listdir(home)) > MOST_AT_TOP:  # noqa: PTH208 - names are enough
        raise _failed(
            f"{NAME} writes too much below AIRFLOW_HOME: {MOST_AT_TOP} files and folders are allowed directly in it; "
            "put them into a folder"
        )
    sealing.take_over(home, context.user.uid if context.user else os.geteuid())
    if airflow_home.can_be_shown():
        # Nobody may enter: it may hold secrets, and any user can read in /proc where it is mounted from.
        home.chmod(_PRIVATE)


def _check_syntax(file: Path, user: UnixUser | None, tick: Callable[[], None]) -> None:
    """Check the syntax first: bash would report a syntax error and go on behind the script."""
    done = sandbox.run(
        [_BASH, "--noprofile", "--norc", "-n", str(file)],
        environ={"LANG": "C.UTF-8"}, cwd=Path("/"), limits=SandboxLimits(_SYNTAX_LIMIT), user=user, tick=tick,
    )  # fmt: skip
    if done.code == 0:
        return
    said = [line.replace(str(file), NAME) for line in done.tail[-_TAIL:]]
    found = next((match for line in said if (match := _SYNTAX.search(line))), None)
    line = int(found[1]) if found else None
    raise _failed(f"{at(NAME, line)}: bash does not understand the script", line, tuple(said))


def _answered(data: bytes) -> tuple[dict[str, str], list[str]]:
    """Variables, and notes as `startup_notes.of` reads them."""
    pairs = [entry.decode(errors="surrogateescape").partition("=") for entry in data.split(b"\0") if entry]
    notes = [value for name, _, value in pairs if name == _NOTE]
    return {name: value for name, _, value in pairs if name != _NOTE}, notes


def _judge(ended: Ended, after: Mapping[str, str], limit: float) -> None:
    tail = ended.tail[-_TAIL:]
    if ended.filled:
        raise _failed(f"{NAME} fills the disk, or more than {MOST_WRITTEN // 2**30} GiB of it", tail=tail)
    if not ended.in_time:
        raise _failed(f"{NAME} did not end within {limit:g} seconds", tail=tail)
    line = int(after["AERODROME_LINE"]) or None if after.get("AERODROME_LINE", "").isdecimal() else None
    if ended.code != 0:
        how = f"was killed by signal {-ended.code}" if ended.code < 0 else f"ended with exit code {ended.code}"
        raise _failed(f"{at(NAME, line)}: the script {how}", line, tail)
    if _ANSWERED[-1] not in after:
        raise _failed(f"{NAME} ended without a word; it must neither exec a program nor trap EXIT", tail=tail)


def _failed(message: str, line: int | None = None, tail: tuple[str, ...] = ()) -> ReleaseError:
    return ReleaseError(message, code=STARTUP_SCRIPT_FAILED, file=NAME, line=line, tail=tail)
