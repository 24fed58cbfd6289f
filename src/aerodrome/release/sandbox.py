"""Run a program that is not ours: under limits, as an unprivileged user where we are root, and to the end of all of it.

Whatever builds, tries or migrates calls it. `inside/supervise.py` does the work in a process of its own; this module is
our side of it. It does not know what it runs.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from aerodrome.release import borrowed, url_credentials
from aerodrome.release.borrowed import Borrowed
from aerodrome.release.failures import RELEASE_BUILD_FAILED, ReleaseError
from aerodrome.unix_users import UnixUser

_SUPERVISE = Path(__file__).with_name("inside") / "supervise.py"

_TICK = 0.2
"""Seconds between two calls of `tick`, by which the caller may stop us."""

_CHUNK = 65536
_TAIL = 60
"""Lines of output that are kept."""

_LONGEST_LINE = 2000
_PATIENCE = 30.0
"""Seconds beyond the limit until the supervisor itself is given up; it needs some to kill and reap."""


@dataclass(frozen=True)
class SandboxLimits:
    """What a program may use. Memory and file are for one process each, the rest for all of them together."""

    seconds: float
    memory: int = 4 * 2**30
    """Bytes of private memory."""

    file: int = 2 * 2**30
    """Bytes of the largest file written."""

    processes: int | None = None
    """Processes and threads of the user, where that is not ourselves; None = as many as the machine gives."""

    disk: int | None = None
    """Bytes in all folders that the program may write to; None = as many as there are."""


MOST_PROCESSES = 1024
"""For the user of a build: several for each processor of a large machine; arbitrary."""


@dataclass(frozen=True)
class WritablePaths:
    """What a program may write to, where we are root and the kernel lets us restrict it; it may only read the rest."""

    folders: tuple[Path, ...]
    temporary: Path
    """A folder in one of those, which it finds at /tmp and /var/tmp."""


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    """Its exit code; negative is the signal that killed it."""

    in_time: bool
    """Whether no limit of time or disk ended it."""

    tail: tuple[str, ...]
    """Its last lines of output, standard error among them."""

    filled: bool = False
    """Whether it was ended because it wrote too much."""


_HELD: ContextVar[tuple[int, ...]] = ContextVar("held", default=())


@contextmanager
def holding(descriptor: int) -> Iterator[None]:
    """Have a lock held by the supervisors of the programs that run meanwhile, until the last of them is gone.

    If we are killed, nobody else takes the lock as long as they still write.
    """
    token = _HELD.set((*_HELD.get(), descriptor))
    try:
        yield
    finally:
        _HELD.reset(token)


def held() -> tuple[int, ...]:
    """The descriptors of such locks, for programs that are run in another way."""
    return _HELD.get()


def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: Path,
    limits: SandboxLimits,
    user: UnixUser | None = None,
    umask: int = 0o022,
    views: Sequence[tuple[Path, Path]] = (),
    writable: WritablePaths | None = None,
    on_line: Callable[[str], None] = lambda _: None,
    hide: Callable[[str], str] = url_credentials.hide,
    on_message: Callable[[bytes], None] | None = None,
    tick: Callable[[], None] = lambda: None,
    given: Sequence[int] = (),
    ours: bool = False,
    call: tuple[str, object] | None = None,
    lender: Path | None = None,
    script: Sequence[str] = (),
) -> Ended:
    """Run the program, whose first word is an absolute path. Its environment is exactly `environ`.

    Where we are root there must be a `user`, who is not root. The exception is a program that is `ours`: Aerodrome
    brings it, and it runs no code of users.

    `views` are folders with the paths at which the program finds them too (`airflow_home.HomeView`); it is not run
    where they cannot be shown. `given` are descriptors of ours that it gets too. `hide` takes secrets out of each line
    of output, before it is kept or `on_line` is called with it. `on_message` is called with the bytes that the program
    writes to the descriptor whose number it finds in AERODROME_CHANNEL, however many. `call` is for `confined` alone: a
    function of ours, and what it is asked, in the program's place. `lender` is the socket of a process that lends one
    (`borrowed`) which has imported what the `script` needs: that script, with its arguments, runs there in the
    program's place if it lends one. If `tick`, called several times a second, raises something, the program is ended
    and the caller gets the exception.
    """
    if os.geteuid() == 0 and not ours and (user is None or user.uid == 0):
        raise RuntimeError("as root, a program that is not ours runs as another user")
    report, theirs = os.pipe()
    channel, messages = _pipe(wanted=on_message is not None)
    passed, kept = [theirs] if messages is None else [theirs, messages], held()
    wanted = {
        "argv": list(argv),
        "call": call,
        "script": [],
        "env": dict(environ) | ({} if messages is None else {"AERODROME_CHANNEL": str(messages)}),
        "cwd": str(cwd),
        "uid": user.uid if user else None,
        "gid": user.gid if user else None,
        "umask": umask,
        "views": [[str(folder), str(path)] for folder, path in views],
        "writable": [[str(path) for path in writable.folders], str(writable.temporary)] if writable else None,
        "seconds": limits.seconds,
        "disk": limits.disk,
        "limits": {
            "RLIMIT_DATA": limits.memory,
            "RLIMIT_FSIZE": limits.file,
            "RLIMIT_CORE": 0,
            **({"RLIMIT_NPROC": limits.processes} if limits.processes and user else {}),
        },
        "report": theirs,
        "held": kept,
    }
    try:
        descriptors = (*passed, *kept, *given)
        lent = borrowed.borrow(lender, [str(_SUPERVISE)], descriptors) if lender is not None else None
        if lent is not None:
            wanted["script"] = list(script)
        with lent or _started(descriptors, finds_ours=call is not None) as supervisor:
            while passed:
                os.close(passed.pop())
            followed = _Followed(supervisor, report, channel, on_line, hide, on_message or (lambda _: None))
            try:
                _request(supervisor, wanted)
                followed.follow(tick, time.monotonic() + limits.seconds + _PATIENCE)
            finally:
                # This closes our end of its standard input: the sign to kill everything and end.
                _end(supervisor)
    finally:
        for descriptor in (report, channel, *passed):
            if descriptor is not None:
                os.close(descriptor)
    return followed.ended()


def _started(descriptors: Sequence[int], *, finds_ours: bool) -> subprocess.Popen[bytes]:
    """A supervisor in a new interpreter; `finds_ours`: it can import our packages, and those that ours need."""
    return subprocess.Popen(
        [sys.executable, "-I", *([] if finds_ours else ["-S"]), str(_SUPERVISE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={},  # no variable of the program may influence its supervisor
        cwd="/",
        start_new_session=True,
        pass_fds=descriptors,
    )


def let_in(folder: Path, user: UnixUser | None) -> None:
    """Let the user enter the folder, but not list it; nobody else may enter. None = it is ours alone already."""
    if user is not None:
        os.chown(folder, -1, user.gid)
        folder.chmod(0o710)


def _pipe(*, wanted: bool) -> tuple[int, int] | tuple[None, None]:
    return os.pipe() if wanted else (None, None)


def _request(supervisor: subprocess.Popen[bytes] | Borrowed, wanted: Mapping[str, object]) -> None:
    if supervisor.stdin is not None:
        supervisor.stdin.write(json.dumps(wanted).encode() + b"\n")
        supervisor.stdin.flush()


def _end(supervisor: subprocess.Popen[bytes] | Borrowed) -> None:
    if supervisor.stdin is not None:
        with suppress(BrokenPipeError):
            supervisor.stdin.close()
    try:
        supervisor.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        supervisor.kill()


class _Followed:
    """Everything that a supervisor's descriptors give, read as it comes."""

    def __init__(
        self,
        supervisor: subprocess.Popen[bytes] | Borrowed,
        report: int,
        channel: int | None,
        on_line: Callable[[str], None],
        hide: Callable[[str], str],
        on_message: Callable[[bytes], None],
    ) -> None:
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._rest = b""
        self._report = b""
        self._on_line = on_line
        self._hide = hide
        self._sources: dict[int, Callable[[bytes], None]] = {report: self._reported}
        if supervisor.stdout is not None:
            self._sources[supervisor.stdout.fileno()] = self._printed
        if channel is not None:
            self._sources[channel] = on_message

    def follow(self, tick: Callable[[], None], deadline: float) -> None:
        """Read until every end is closed, which the supervisor makes sure of."""
        with selectors.DefaultSelector() as selector:
            for source, told in self._sources.items():
                selector.register(source, selectors.EVENT_READ, told)
            while selector.get_map() and time.monotonic() < deadline:
                tick()
                for key, _ in selector.select(_TICK):
                    data = os.read(key.fd, _CHUNK)
                    if data:
                        key.data(data)
                    else:
                        selector.unregister(key.fd)
        if self._rest:
            self._printed(b"\n")

    def ended(self) -> Ended:
        if not self._report:
            raise ReleaseError(
                "a process that was to build or try the release ended before it began; the last lines may say why",
                code=RELEASE_BUILD_FAILED,
                tail=tuple(self._tail),
            )
        told = json.loads(self._report)
        if not told["gone"]:
            raise ReleaseError(
                "processes that it began could not be ended, so nothing that it wrote is taken",
                code=RELEASE_BUILD_FAILED,
                tail=tuple(self._tail),
            )
        return Ended(told["code"], told["why"] == "itself", tuple(self._tail), filled=told["why"] == "disk")

    def _reported(self, data: bytes) -> None:
        self._report += data

    def _printed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST_LINE]  # a line without end is cut, not kept
        for line in lines:
            text = self._hide(line[:_LONGEST_LINE].decode(errors="replace").rstrip())
            self._tail.append(text)
            self._on_line(text)
