"""Run one command under limits, as another user if asked to, and leave none of its processes behind.

`sandbox` starts it as a script. What to run comes as JSON on standard input; how it ended goes as JSON to the
descriptor named there. In a borrowed process (`release/borrowed`) a script takes the place of the command, and runs in
a fork of it. User code runs below it, so it is the subreaper of all those processes. It kills them when the
command has ended, when the time is up, or when standard input closes because the control plane is gone. Standard
library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import runpy
import select
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
PR_SET_DUMPABLE = 4
CALLS = "aerodrome.release.confined"
"""The module that finds our functions, where one takes the place of a command."""

RHYTHM = 0.05
"""Seconds between two looks at the clock and the children."""

END_LIMIT = 10.0
"""Seconds to wait for killed processes to be gone; only one that hangs in the kernel takes longer."""

DISK_RHYTHM = 0.25
"""Seconds between two looks at the disk; at the pace of a fast disk that is half a gibibyte."""

RESERVE = 512 * 2**20
"""Bytes of a disk that are not for builds."""

MOST_FILES = 2_000_000
"""Files that a command may leave behind; counting them takes some seconds."""

OOM_SCORE = "500"

CHAIN_AFTER = 2.0
"""Seconds after which a new process among them is no orphan, but one that forks faster than we look."""


def main() -> int:
    """The whole life of one command."""
    wanted = json.loads(_request())
    for ours in (wanted["report"], *wanted["held"]):
        os.set_inheritable(ours, False)  # noqa: FBT003 - the standard library's own
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Imported while we still may: nobody else need be able to read our packages.
    call = importlib.import_module(CALLS).found(wanted["call"][0]) if wanted["call"] else None
    child = os.fork()
    if child == 0:
        _become(wanted, call)
    code, why = _watch(child, time.monotonic() + wanted["seconds"], _Disk(wanted))
    gone = _kill_rest(child, wanted["uid"])
    os.write(wanted["report"], json.dumps({"code": code, "why": why, "gone": gone}).encode())
    return 0


def _request() -> str:
    """The first line of standard input; it stays open as long as the control plane lives."""
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(0, 65536)
        if not read:
            sys.exit(2)
        line += read
    return line.decode()


def _become(wanted: dict[str, Any], call: Any) -> None:
    """In the child: be the command, or make the call. It never returns."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.umask(wanted["umask"])
        _let_go_first()
        for name, value in wanted["limits"].items():
            kind = getattr(resource, name, None)
            if kind is not None:
                hard = resource.getrlimit(kind)[1]
                least = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (least, least))
        _show(wanted["views"], wanted["writable"])
        refuse = _of_cell("seccomp.py")["refuse"]
        if wanted["uid"] is not None:
            os.setgroups([])
            os.setgid(wanted["gid"])
            os.setuid(wanted["uid"])
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        refuse()
        os.chdir(wanted["cwd"])
        if call is not None:
            _make(call, wanted)
        if wanted["script"]:
            _run(wanted)
        os.execve(wanted["argv"][0], wanted["argv"], wanted["env"])  # noqa: S606 - no shell is wanted
    except BaseException as error:  # noqa: BLE001 - nothing of ours may run on in the child
        sys.stderr.write("could not start {}: {}\n".format((wanted["argv"] or wanted["call"])[0], error))
        sys.stderr.flush()
    os._exit(126)


def _make(call: Any, wanted: dict[str, Any]) -> None:
    """Make the call and end; what only a supervisor may have is closed."""
    for ours in (wanted["report"], *wanted["held"]):
        os.close(ours)
    os.environ.update(wanted["env"])
    code = 1
    try:
        with open(int(os.environ["AERODROME_CHANNEL"]), "wb") as channel:
            channel.write(call(wanted["call"][1]))
        code = 0
    except BaseException:  # noqa: BLE001 - it is told, and nothing of ours may run on
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(code)


def _run(wanted: dict[str, Any]) -> None:
    """Be the script in this process, which has imported what it would import, as a new interpreter would; and end."""
    for ours in (wanted["report"], *wanted["held"]):
        os.close(ours)
    _prctl(PR_SET_DUMPABLE, 1)  # an interpreter finds itself in /proc; who changes its user does so no more
    os.environ.clear()
    os.environ.update(wanted["env"])
    time.tzset()
    importlib.invalidate_caches()
    tempfile.tempdir = None
    sys.dont_write_bytecode = True
    importlib.import_module("aerodrome_path").apply()
    sys.argv = list(wanted["script"])
    code = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _show(views: list[list[str]], writable: Any) -> None:
    """Let folders be found where user code expects them, and all else be read-only where the kernel can.

    Raises OSError where folders cannot be shown.
    """
    if not views and writable is None:
        return
    mounts = _of_cell("mounts.py")
    left = mounts["leave"]()
    hidden = mounts["show"](views) if left else [path for _, path in views]
    if hidden:
        what = "cannot show {}: that needs root and a mount namespace".format(", ".join(hidden))
        raise OSError(what)
    if writable is not None and left:
        mounts["shut"](*writable)


def _of_cell(module: str) -> dict[str, Any]:
    """A module of the cell's, which is found beside our room."""
    rooms = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    return runpy.run_path(os.path.join(rooms, "cell", module))


def _let_go_first() -> None:
    """Have the kernel end this process before any service, where memory is short."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(OOM_SCORE)


class _Disk:
    """How much the command has written, where that is limited.

    The file systems are asked often; the files are counted only if these have lost as much as the command may write.
    """

    def __init__(self, wanted: dict[str, Any]) -> None:
        shown = {path: source for source, path in wanted["views"]}
        self._most: int | None = wanted["disk"]
        self._folders = [shown.get(path, path) for path in wanted["writable"][0]] if wanted["writable"] else []
        self._free = {folder: _free(folder) for folder in self._folders}
        self._next = 0.0

    def is_exceeded(self) -> bool:
        """Whether the command has written too much, or nearly all that the disk had."""
        if self._most is None or time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + DISK_RHYTHM
        for folder, before in self._free.items():
            now = _free(folder)
            if before > RESERVE > now:
                return True  # whoever it was: a build can be repeated, and what runs cannot
            if before - now > self._most:
                if _written(self._folders, self._most) > self._most:
                    return True
                self._free[folder] = now
        return False


def _free(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _written(folders: list[str], enough: int) -> int:
    """Bytes on disk in the folders; no more are counted than are enough, nor more files than anybody needs."""
    total = count = 0
    left = list(folders)
    while left and total <= enough:
        with contextlib.suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                count += 1
                total += entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                if count > MOST_FILES:
                    return enough + 1
    return total


def _watch(child: int, deadline: float, disk: _Disk) -> tuple[int, str]:
    """The child's exit code (negative: the signal), and what ended it: itself, a limit, or that we are alone."""
    why = "itself"
    while True:
        done = _reap(child)
        if done is not None:
            return done, why
        if why == "itself":
            why = _trouble(deadline, disk)
            if why != "itself":
                _kill(child)
        time.sleep(RHYTHM)


def _trouble(deadline: float, disk: _Disk) -> str:
    if time.monotonic() > deadline:
        return "time"
    if _abandoned():
        return "alone"
    return "disk" if disk.is_exceeded() else "itself"


def _reap(child: int) -> int | None:
    """Reap every process that has ended; returns the child's code if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == child:
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _abandoned() -> bool:
    readable, _, _ = select.select([0], [], [], 0)
    return bool(readable) and not os.read(0, 1)


def _kill(child: int) -> None:
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(child, signal.SIGKILL)


def _kill_rest(child: int, uid: int | None) -> bool:
    """Kill what the command left. Orphans become ours, so a few rounds catch all; False = not all."""
    _kill(child)
    began = time.monotonic()
    known: set[int] = set()
    while time.monotonic() < began + END_LIMIT:
        found = set(_children())
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if uid and found - known and time.monotonic() > began + CHAIN_AFTER:
            _kill_all_of(uid)
        known = found
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(RHYTHM)
    return False


def _kill_all_of(uid: int) -> None:
    """Kill every process of the user at once, so that none can fork meanwhile: the kernel does it under a lock."""
    killer = os.fork()
    if killer == 0:
        with contextlib.suppress(OSError):
            os.setuid(uid)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)


def _children() -> list[int]:
    """Processes whose parent we are; empty on a system without /proc, where only the group is killed."""
    me, found = os.getpid(), []
    names = os.listdir("/proc") if os.path.isdir("/proc") else []
    for name in names:
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{int(name)}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
            if int(text[text.rindex(")") + 2 :].split()[1]) == me:
                found.append(int(name))
    return found


def _prctl(option: int, value: int) -> None:
    # Linux alone has it; elsewhere a group is killed and no more.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
