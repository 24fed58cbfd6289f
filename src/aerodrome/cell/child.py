"""What a freshly forked process does to become its unit; it never returns.

It arranges its descriptors, tells the agent its number over the channel, and waits for the specification. So no unit
runs that the agent's state file does not know. Then it sets signals, identity and environment, and runs the script or
command.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

from . import kernel, landlock, listeners, readiness, seccomp

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

CHUNK = 64 * 1024  # bytes a read
LOWEST_SPARE_FD = 10  # above all numbers that a unit gets
CANNOT_PREPARE = 126  # exit codes as a shell's: the unit could not be made ready,
CANNOT_EXECUTE = 127  # or its command could not be executed
INTERRUPTED = 130
COMPANION_FD = 5  # of the socket pair between a unit and its companion: this number in both
COMPANION_VARIABLE = "AERODROME_COMPANION_FD"


def run(parent: int, channel: int, log: int, *given: int) -> None:
    """Becomes the unit that the channel describes, and ends the process with it. `parent` is about to die.

    `given` holds the notify pipe and the listening socket: neither, the pipe alone, or both.
    """
    _live(parent, channel, (log, log), given)


def run_once(parent: int, channel: int, stdout: int, stderr: int) -> None:
    """Becomes the command that the channel describes. As `run`, but it has two outputs, and it dies with the agent."""
    _live(parent, channel, (stdout, stderr), script=_run_until_the_cells_end)


def _live(
    parent: int,
    channel: int,
    outputs: tuple[int, int],
    given: tuple[int, ...] = (),
    script: Callable[[list[str]], int] | None = None,
) -> None:
    code = CANNOT_PREPARE
    try:
        os.setsid()
        channel = _arrange_descriptors(channel, outputs, given)
        spec = _introduce(channel)
        if spec is None:
            return
        os.close(channel)
        while os.getppid() == parent:  # who asks to die with its parent must mean the agent by it
            time.sleep(0.001)
        code = _become(spec, given=len(given), run=script)
    except BaseException:  # noqa: BLE001 - the traceback belongs into the log, whatever it is
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def serve(fork_for: Callable[[socket.socket], None], channel: int, log: int, requests: int) -> NoReturn:
    """Becomes a nursery: takes the identity of the units, runs the script that prepares it, and then forks for them."""
    code = CANNOT_PREPARE
    try:
        os.setsid()
        channel = _arrange_descriptors(channel, (log, log), (requests,))
        spec = _introduce(channel)
        os.close(channel)
        if spec is not None:
            os.set_inheritable(readiness.NOTIFY_FD, False)  # noqa: FBT003 - the standard library's own signature
            code = _become(spec, given=0, run=_prepare)
        if code == 0:
            fork_for(socket.socket(fileno=readiness.NOTIFY_FD))
    except BaseException:  # noqa: BLE001 - the traceback belongs into the log, whatever it is
        traceback.print_exc()
    finally:
        os._exit(code)


def _introduce(channel: int) -> dict[str, Any] | None:
    """Says who we are, then reads the specification; None when the agent died before it had recorded us."""
    os.write(channel, f"{os.getpid()}\n".encode())
    received = bytearray()
    while not received.endswith(b"\n"):
        chunk = os.read(channel, CHUNK)
        if not chunk:
            return None
        received += chunk
    spec: dict[str, Any] = json.loads(received.decode("utf-8"))
    return spec


_GIVEN = ((readiness.NOTIFY_VARIABLE, readiness.NOTIFY_FD), (listeners.LISTEN_VARIABLE, listeners.LISTEN_FD))


def _arrange_descriptors(channel: int, outputs: tuple[int, int], given: tuple[int, ...]) -> int:
    """Makes 0 nothing, 1 and 2 the outputs, then what is given; closes all others but the channel, which moves."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    wanted = {0: nothing, 1: outputs[0], 2: outputs[1]}
    wanted.update(zip((number for _, number in _GIVEN), given))
    spare = {number: fcntl.fcntl(handle, fcntl.F_DUPFD, LOWEST_SPARE_FD) for number, handle in wanted.items()}
    channel = fcntl.fcntl(channel, fcntl.F_DUPFD_CLOEXEC, LOWEST_SPARE_FD)
    for number, handle in spare.items():
        os.dup2(handle, number)
    kernel.close_all_but({channel, *wanted})
    return channel


def _become(spec: dict[str, Any], *, given: int, run: Callable[[list[str]], int] | None = None) -> int:
    """Takes on name, identity and place, then runs (a script as a process of its own does, unless `run` says else)."""
    kernel.set_name(spec["name"])
    reset_signals(python=spec["how"] == "fork")
    os.umask(spec["umask"])
    env = dict(spec["env"])
    env.pop(COMPANION_VARIABLE, None)
    _take_limits(spec)
    if spec.get("writable") is not None and spec["uid"] is not None and os.geteuid() == 0:
        landlock.confine(spec["writable"])  # a fork of the nursery is confined as that is
    if spec.get("companion") is not None:
        _start_companion(spec["companion"])
        env[COMPANION_VARIABLE] = str(COMPANION_FD)
    _take_identity(spec["uid"], spec["gid"], spec.get("saved_uid"))
    if spec.get("visible"):
        kernel.be_visible()
    os.chdir(spec["cwd"])
    for position, (variable, number) in enumerate(_GIVEN):
        env.pop(variable, None)
        if position < given:
            env[variable] = str(number)
    if spec["how"] == "exec":
        return _execute(spec["argv"], env)
    take_environment(env)
    return (run or run_script)(spec["argv"])


def _start_companion(spec: dict[str, Any]) -> None:
    """Forks the unit's companion, which must know nothing that the unit is about to learn; the unit gets a socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        theirs.close()
        os.dup2(ours.fileno(), COMPANION_FD)
        ours.close()
        return
    code = CANNOT_PREPARE
    try:
        os.dup2(theirs.fileno(), COMPANION_FD)
        kernel.close_all_but({COMPANION_FD})
        env = dict(spec["env"], **{COMPANION_VARIABLE: str(COMPANION_FD)})
        kernel.set_name(spec["name"])
        os.umask(spec["umask"])
        _take_identity(spec["uid"], spec["gid"])
        os.chdir(spec["cwd"])
        if spec["how"] == "exec":
            code = _execute(spec["argv"], env)
        else:
            take_environment(env)
            code = run_script(spec["argv"])
    except BaseException:  # noqa: BLE001 - the traceback belongs into the log, whatever it is
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def reset_signals(*, python: bool) -> None:
    """As a new process has them: the kernel's defaults, and what Python sets at its start for a script of its own."""
    signal.set_wakeup_fd(-1)
    for number in range(1, signal.NSIG):
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP and those of the C library
            signal.signal(number, signal.SIG_DFL)
    if python:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _take_limits(spec: dict[str, Any]) -> None:
    """Sets the limits that nothing else sees to, for this process and what it starts."""
    limits = spec.get("limits") or {}
    # Processes are counted by user, and an environment may have no user of its own.
    processes = limits.get("user_processes") if spec["uid"] is not None else None
    wanted = (
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_DATA, limits.get("memory")),
        (resource.RLIMIT_FSIZE, limits.get("file")),
    )
    for kind, value in wanted:
        if value is not None:
            _, hard = resource.getrlimit(kind)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))


def _take_identity(uid: int | None, gid: int | None, saved: int | None = None) -> None:
    """Becomes that user. A process without rights may so become any user of its own three ids, and no other."""
    if uid is not None:
        kernel.forbid_new_privileges()
        seccomp.refuse()
    if os.geteuid() == 0 and gid is not None:
        os.setgroups([])
    if gid is not None:
        os.setresgid(gid, gid, gid)
    if uid is not None:
        os.setresuid(uid, uid, uid if saved is None else saved)


def _execute(argv: list[str], env: dict[str, str]) -> int:
    try:
        os.execvpe(argv[0], argv, env)  # noqa: S606 - a list, and no shell is wanted
    except OSError as error:
        print(f"cannot execute {argv[0]}: {error.strerror}", file=sys.stderr)
    return CANNOT_EXECUTE


def take_environment(env: dict[str, str]) -> None:
    """Makes this the whole environment of the process, also for what Python read from it at its start."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    importlib.invalidate_caches()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]


def run_script(argv: list[str]) -> int:
    """Runs the script as `python script` would, to its own exit code, and ends as the interpreter would.

    Exit handlers inherited from the warm process are kept. The warm process has only imported modules, so these are
    just the handlers that a process of its own would have after the same imports (logging, multiprocessing,
    weakref.finalize and the like).
    """
    _forget_ourselves()
    sys.argv = list(argv)
    code = _exit_code(argv[0])
    for last in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # noqa: SLF001 - no public name
        try:
            last()
        except BaseException:  # noqa: BLE001 - as the interpreter does: reported, and the exit goes on
            traceback.print_exc()
    return code


def _run_until_the_cells_end(argv: list[str]) -> int:
    parent = os.getppid()
    kernel.die_with_parent()
    if os.getppid() != parent:
        return CANNOT_PREPARE
    return run_script(argv)


def prepare(argv: list[str], env: dict[str, str], cwd: str) -> int:
    """Runs the script in this environment for what it leaves in memory; returns its exit code."""
    os.chdir(cwd)
    take_environment(env)
    return _prepare(argv)


def _prepare(argv: list[str]) -> int:
    """Runs the script for what it leaves in memory."""
    sys.argv = list(argv)
    return _exit_code(argv[0])


def _exit_code(script: str) -> int:
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as leaving:
        return _code_of(leaving.code)
    except KeyboardInterrupt:
        traceback.print_exc()
        return INTERRUPTED
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        return 1
    return 0


def _code_of(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return 1


def _forget_ourselves() -> None:
    """Removes our modules, so that the unit sees none of them."""
    package = __name__.rpartition(".")[0]
    for name in list(sys.modules):
        if name == package or name.startswith(package + "."):
            del sys.modules[name]
