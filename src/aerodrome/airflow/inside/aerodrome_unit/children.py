"""Airflow 3's supervisors follow the processes of tasks as their parents, without /proc.

Airflow looks a forked process up in /proc with psutil. There each process finds those alone that it may trace
(`cell/mounts`), and a supervisor lets itself and its forks be traced by nobody, so that no task reads another's memory.
A parent needs no /proc: the number of a process that it has not reaped is given to nobody else.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
import select
from typing import Any


def follow_without_proc(supervisor: Any) -> None:
    """Have the supervisors of that module (`airflow.sdk.execution_time.supervisor`) follow what they fork so."""
    supervisor.psutil = _Psutil(supervisor.psutil)


class _Psutil:
    """psutil, but for processes that are named by a number: these are children."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._psutil, name)

    def Process(self, pid: int | None = None) -> Any:  # noqa: N802 - psutil's name
        return self._psutil.Process() if pid is None else Child(pid, self._psutil)


class Child:
    """A child of this process, in the shape of a `psutil.Process`."""

    def __init__(self, pid: int, psutil: Any) -> None:
        self.pid = pid
        self._psutil = psutil
        self._has_ended = False
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit code, negative for a signal; None = somebody else has reaped it. Raises TimeoutExpired."""
        if not self._has_ended:
            try:
                self._code = self._reaped(timeout)
            except ChildProcessError:
                self._code = None
            self._has_ended = True
        return self._code

    def send_signal(self, number: int) -> None:
        """Send the signal. Raises NoSuchProcess when the process has ended."""
        try:
            if not self._has_ended:
                os.kill(self.pid, number)
                return
        except ProcessLookupError:
            pass
        raise self._psutil.NoSuchProcess(self.pid)

    def _reaped(self, timeout: float | None) -> int:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            self._await_end(timeout)
            _, status = os.waitpid(self.pid, 0)
        return named(os.waitstatus_to_exitcode(status))

    def _await_end(self, timeout: float | None) -> None:
        handle = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            ended = poll.poll(None if timeout is None else timeout * 1000)
        finally:
            os.close(handle)
        if not ended:
            raise self._psutil.TimeoutExpired(timeout, self.pid)


def named(code: int) -> int:
    """The exit code as psutil has it: with the name of a signal, which Airflow asks for."""
    try:
        from psutil import _psposix

        return int(code) if code >= 0 else _psposix.negsig_to_enum(code)
    except (ImportError, AttributeError):
        return code
