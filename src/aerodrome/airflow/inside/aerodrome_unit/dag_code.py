"""Airflow 3: DAG code runs in forks of a process that has never known a secret, under a user of its own.

The DAG processor and the triggerer speak to the database. What they fork would inherit all that they know, whatever
user it becomes. So the cell begins a companion beside each of them, before it reads a secret (`cell/child`). A
supervisor makes the sockets to its process as ever and hands the far ends to the companion, which forks (`serve`). One
more socket for each process, its leash, brings the process's number and exit code back, and signals there: the kernel
lets nobody signal another user's processes.

Whoever is in the companion's place may be hostile, for DAG code has the same user. It can end or hold up the processes
of DAG code; then the unit ends, and the cell begins both anew.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import logging
import operator
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from . import children

VARIABLE = "AERODROME_COMPANION_FD"

ENDS = ("requests", "stdout", "stderr", "logs")
"""The sockets of a supervised process, as Airflow names them."""

LONGEST = 16 * 1024
"""Bytes of a message."""

PATIENCE = 60.0
"""Seconds for a fork on a machine that is short of everything; no process of DAG code is worth waiting longer."""

FAILED = 124
"""The exit code of a process that did not even begin, as Airflow's own."""

log = logging.getLogger(__name__)


# In the unit: the supervisors' side.


def fork_in_companion(role: str) -> None:
    """Have every supervisor of this process, which has that role, fork in the companion.

    Without one the process ends: a fork of its own would give DAG code all that it knows.
    """
    number = os.environ.pop(VARIABLE, None)
    if number is None:
        sys.exit("this unit needs a companion to fork DAG code in, and the cell has begun none")
    os.set_inheritable(int(number), False)  # noqa: FBT003 - takes no keyword
    companion = Companion(socket.socket(fileno=int(number)))
    supervisor: Any = importlib.import_module("airflow.sdk.execution_time.supervisor")
    supervisor.WatchedSubprocess.start = classmethod(_start_in(companion))
    if role == "triggerer":
        runner: Any = importlib.import_module("airflow.jobs.triggerer_job_runner")
        runner.TriggerRunnerSupervisor.update_triggers = _deciphering(runner.TriggerRunnerSupervisor.update_triggers)
        return
    processor: Any = importlib.import_module("airflow.dag_processing.processor")
    processor._pre_import_airflow_modules = companion.will_parse  # noqa: SLF001 - there is no other place
    manager: Any = importlib.import_module("airflow.dag_processing.manager")
    manager.kill_child_processes_by_pids = companion.kill


def _start_in(companion: Companion) -> Callable[..., Any]:
    """`WatchedSubprocess.start`, with the companion's fork in the place of its own."""

    def start(cls: Any, *, target: Callable[[], None] | None = None, logger: Any = None, **constructor: Any) -> Any:
        import structlog

        if target is None:
            raise ValueError("only DAG code is started here, and it has a target")
        pairs = {name: socket.socketpair() for name in ENDS}
        forked = companion.fork(target, [far for far, _ in pairs.values()])
        for far, _ in pairs.values():
            far.close()
        near = {name: end for name, (_, end) in pairs.items()}
        made = cls(
            pid=forked.pid,
            stdin=near["requests"],
            process=forked,
            process_log=logger or structlog.get_logger(logger_name="task").bind(),
            start_time=time.monotonic(),
            **constructor,
        )
        register = made._register_pipe_readers
        more: dict[str, Any] = {"data": {}} if "data" in inspect.signature(register).parameters else {}
        register(**near, **more)
        return made

    return start


def _deciphering(update: Callable[..., None]) -> Callable[..., None]:
    """`TriggerRunnerSupervisor.update_triggers`, which gives triggers their arguments as they are.

    Airflow deciphers them where the triggers run. There is no key any more, and plain ones are understood there.
    """

    def update_triggers(self: Any, *arguments: Any, **named: Any) -> None:
        update(self, *arguments, **named)
        for workload in self.creating_triggers:
            workload.encrypted_kwargs = deciphered(workload.encrypted_kwargs)

    return update_triggers


def deciphered(text: str) -> str:
    """The arguments of a trigger as JSON; as they came, if they cannot be deciphered: then the trigger fails."""
    if text.startswith("{"):
        return text
    from airflow.models.crypto import get_fernet

    try:
        return str(get_fernet().decrypt(text.encode()).decode())
    except Exception:  # noqa: BLE001 - a wrong key, or no token at all; the trigger's own error says it
        return text


class Companion:
    """The companion, as the unit sees it."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._file: str | None = None
        self._forked: dict[int, ForkedProcess] = {}

    def will_parse(self, file: str, _: Any) -> None:
        """The next fork parses this file: the companion imports before it what the file imports of Airflow."""
        self._file = os.fspath(file)

    def fork(self, target: Callable[[], None], ends: list[socket.socket]) -> ForkedProcess:
        """A process of the companion's that runs the function, with these sockets."""
        wanted = {"module": target.__module__, "name": target.__qualname__, "file": self._file}
        self._file = None
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            handles = [each.fileno() for each in (*ends, far)]
            socket.send_fds(self._requests, [json.dumps(wanted).encode()], handles)
        except OSError:
            _give_up("the companion that DAG code is forked in is gone")
        finally:
            far.close()
        forked = ForkedProcess(near)
        self._forked = {pid: each for pid, each in self._forked.items() if not each.has_ended()}
        self._forked[forked.pid] = forked
        return forked

    def kill(self, pids: list[int], timeout: int = 5) -> None:
        """Kill those processes, and wait for a moment until they have ended."""
        until = time.monotonic() + timeout
        for pid in pids:
            forked = self._forked.get(pid)
            if forked is not None and not forked.has_ended():
                forked.send_signal(signal.SIGKILL)
                with contextlib.suppress(forked.TimeoutExpired):
                    forked.wait(max(0.0, until - time.monotonic()))


class ForkedProcess:
    """A process of the companion's, in the shape of a `psutil.Process`."""

    def __init__(self, leash: socket.socket) -> None:
        import psutil

        self.ProcessNotFound = psutil.NoSuchProcess
        self.TimeoutExpired = psutil.TimeoutExpired
        self._leash = leash
        self._code: int | None = None
        leash.settimeout(PATIENCE)
        try:
            self.pid = _whole(self._heard(), "pid")
        except OSError:
            _give_up("the companion that DAG code is forked in does not answer")

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, negative for a signal. Raises TimeoutExpired."""
        if self._code is None:
            self._leash.settimeout(timeout)
            try:
                message = self._heard()
            except OSError:
                raise self.TimeoutExpired(timeout or 0, self.pid) from None
            self._code = children.named(_whole(message, "code"))
            self._leash.close()
        return self._code

    def fileno(self) -> int:
        """The descriptor that can be read when it has ended; -1 when it is known to have."""
        return self._leash.fileno()

    def has_ended(self) -> bool:
        """Whether it has an exit code."""
        with contextlib.suppress(self.TimeoutExpired):
            self.wait(0)
        return self._code is not None

    def send_signal(self, number: int) -> None:
        """Have the companion send the signal. Raises ProcessNotFound when the process has ended."""
        if self.has_ended():
            raise self.ProcessNotFound(self.pid)
        with contextlib.suppress(OSError):  # it has ended since
            self._leash.send(json.dumps({"signal": int(number)}).encode())

    def _heard(self) -> bytes:
        received = self._leash.recv(LONGEST)
        if not received:
            _give_up("the companion that DAG code is forked in has ended")
        return received


def _whole(message: bytes, name: str) -> int:
    """The number in a message of that name; whoever sends something else is not obeyed."""
    try:
        return int(json.loads(message)[name])
    except (ValueError, KeyError, TypeError):
        _give_up("the companion that DAG code is forked in answers with nonsense")


def _give_up(reason: str) -> NoReturn:
    """End the unit, and nothing less: in the middle of whatever it does, it has lost its processes."""
    sys.stderr.write(reason + "\n")
    sys.stderr.flush()
    os._exit(1)


# In the companion.


def serve(role: str) -> None:
    """Fork for the unit, which has this role, until it ends."""
    number = int(os.environ.pop(VARIABLE))
    os.set_inheritable(number, False)  # noqa: FBT003 - takes no keyword
    requests = socket.socket(fileno=number)
    # They come to the whole session by mistake only: it ends with the unit.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    from . import jobs, unreadable_sources

    jobs.load_providers_configuration()
    importlib.import_module(jobs.RUNNERS[role])
    importlib.import_module("airflow.sdk.execution_time.supervisor")
    if role == "dag-processor":
        unreadable_sources.report_unreadable()
    _Forker(requests).loop()


class _Forker:
    """The companion's loop: requests, ended children, and signals for them."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._leashes: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ, self._fork)
        waker, self._wakeup = socket.socketpair()
        for end in (waker, self._wakeup):
            end.settimeout(0)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._waker = waker
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._reap)

    def loop(self) -> None:
        """Serve until the unit is gone."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _fork(self, requests: socket.socket) -> None:
        received, handles, _, _ = socket.recv_fds(requests, LONGEST, len(ENDS) + 1)
        if not received:
            os._exit(0)  # the cell kills what is left of the session
        wanted = json.loads(received)
        *ends, last = [socket.socket(fileno=handle) for handle in handles]
        if wanted["file"] is not None:
            _import_for(wanted["file"])
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            self._become(wanted, ends)
        for end in ends:
            end.close()
        last.settimeout(0)
        self._leashes[pid] = last
        self._tell(last, pid=pid)
        self._selector.register(last, selectors.EVENT_READ, self._signal)

    def _become(self, wanted: dict[str, Any], ends: list[socket.socket]) -> NoReturn:
        """The child: Airflow's own beginning of a supervised process, which does not return."""
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            supervisor: Any = importlib.import_module("airflow.sdk.execution_time.supervisor")
            target = operator.attrgetter(wanted["name"])(importlib.import_module(wanted["module"]))
            _close_all_but({0, 1, 2, *(end.fileno() for end in ends)})
            requests, stdout, stderr, logs = ends
            supervisor._fork_main(requests, stdout, stderr, logs.fileno(), target)  # noqa: SLF001 - as its supervisor
        except BaseException:  # noqa: BLE001 - whatever it is, it must not become a second companion
            traceback.print_exc()
        finally:
            os._exit(FAILED)

    def _reap(self, wakeup: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while wakeup.recv(LONGEST):
                pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            leash = self._leashes.pop(pid, None)
            if leash is not None:
                self._tell(leash, code=os.waitstatus_to_exitcode(status))
                with contextlib.suppress(KeyError):
                    self._selector.unregister(leash)
                leash.close()

    def _signal(self, leash: socket.socket) -> None:
        if leash not in self._leashes.values():  # its process was reaped a moment ago
            return
        received = b""
        with contextlib.suppress(OSError):
            received = leash.recv(LONGEST)
        if not received:  # nobody asks for the process any more; it is reaped all the same
            self._selector.unregister(leash)
            return
        pid = next(pid for pid, each in self._leashes.items() if each is leash)
        with contextlib.suppress(OSError):
            os.kill(pid, json.loads(received)["signal"])

    def _tell(self, leash: socket.socket, **message: int) -> None:
        with contextlib.suppress(OSError):
            leash.send(json.dumps(message).encode())


def _import_for(file: str) -> None:
    """Import what the DAG file imports of Airflow, once for all that parse it."""
    processor: Any = importlib.import_module("airflow.dag_processing.processor")
    try:
        processor._pre_import_airflow_modules(file, log)  # noqa: SLF001 - it has no public name
    except Exception:  # noqa: BLE001 - whatever it is, the process that parses the file meets it too
        log.warning("modules of %s not imported beforehand", file)


def _close_all_but(kept: set[int]) -> None:
    begin = 0
    for number in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        if begin < number:  # for Python, a range that ends at 0 ends nowhere
            os.closerange(begin, number)
        begin = number + 1
