"""The commands that run once in this cell, beside its units: begun, bounded, and answered when they have ended.

`control_requests` asks for a run; the agent's loop calls `look` and tells of deaths. A run is no unit: nothing restarts
it and no state file knows it. It dies with this process, or when nobody waits for its answer any more.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from . import control, kernel, logs, spawn, specs

if TYPE_CHECKING:
    import socket
    from typing import Any

    from .nursery import Nursery
    from .placement import Placement
    from .runspecs import RunSpec

MOST = 8  # at once; whoever asks has a lower limit of its own, and this one bounds its mistakes
LOOK_EVERY = 0.05  # seconds between two looks at outputs and at who still waits

TIMEOUT = "timeout"
OUTPUT = "output"
LEAVING = "leaving"
ABANDONED = "abandoned"


class RunningCommand(NamedTuple):
    """One run with a process."""

    wanted: RunSpec
    pid: int
    begun: float
    answer: control.PendingAnswer
    outputs: tuple[int, int]


class Runs:
    """The runs of a cell. Times are seconds of the monotonic clock."""

    def __init__(self, requests: socket.socket, nursery: Nursery, placement: Placement) -> None:
        self._requests = requests
        self._nursery = nursery
        self._placement = placement
        self._running: dict[str, RunningCommand] = {}
        self._killed: dict[str, str] = {}
        """Why a run was killed; it is answered when it is dead."""

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, wanted: RunSpec, now: float) -> control.PendingAnswer:
        """Starts the command; the answer comes when it has ended. Raises RefusedError."""
        name = wanted.spec.name
        specs.require(name not in self._running, f"run {name}: a command of this id is running")
        specs.require(len(self._running) < MOST, f"{MOST} commands are running; try again when one has ended")
        outputs = _open_outputs(wanted)
        try:
            launch = self._launch(wanted.spec, outputs)
        except spawn.LaunchError as error:
            _close(outputs)
            raise specs.RefusedError(f"run {name}: {error}") from error
        answer = control.PendingAnswer()
        self._running[name] = RunningCommand(wanted, launch.pid, now, answer, outputs)
        launch.release(self._placement.place_command(wanted.spec, launch.pid))
        logs.say("run started", run=name, pid=launch.pid)
        return answer

    def look(self, now: float) -> None:
        """Kills what has run too long or said too much, and what nobody waits for."""
        for name, run in self._running.items():
            reason = None if name in self._killed else _overdue(run, now)
            if reason is not None:
                self._kill(name, run, reason)

    def handle_exit(self, pid: int, code: int | None, number: int | None) -> None:
        """Handles the death of a process that is not reaped yet: if it was a run's, kills what it left, and answers."""
        found = [name for name, run in self._running.items() if run.pid == pid]
        for name in found:
            run = self._running.pop(name)
            left = kernel.kill_session(pid)
            _close(run.outputs)
            killed = self._killed.pop(name, None)
            logs.say("run ended", run=name, pid=pid, code=code, signal=number, left=left, killed=killed)
            run.answer.settle({"ok": True, "code": code, "signal": number, "killed": killed})

    def end_all(self) -> None:
        """Kills every run: the cell is going away."""
        for name, run in self._running.items():
            self._kill(name, run, LEAVING)

    def status(self) -> list[dict[str, Any]]:
        """What the control socket says of the runs, without their arguments."""
        return [{"id": name, "pid": run.pid} for name, run in self._running.items()]

    def wake(self, now: float) -> float | None:
        """When to look again; None when nothing runs."""
        return now + LOOK_EVERY if self._running else None

    def _launch(self, spec: specs.UnitSpec, outputs: tuple[int, int]) -> spawn.Launch:
        return self._nursery.launch_run(spec, outputs) or spawn.fork_run(self._requests, outputs)

    def _kill(self, name: str, run: RunningCommand, reason: str) -> None:
        self._killed.setdefault(name, reason)
        # First those that have left the session, while they still have their parents.
        kernel.kill_descendants(run.pid, spared=0)
        kernel.kill_session(run.pid)


def _overdue(run: RunningCommand, now: float) -> str | None:
    if run.answer.is_abandoned:
        return ABANDONED
    if now - run.begun >= run.wanted.timeout:
        return TIMEOUT
    if sum(os.fstat(handle).st_size for handle in run.outputs) > run.wanted.limit:
        return OUTPUT
    return None


def _open_outputs(wanted: RunSpec) -> tuple[int, int]:
    opened: list[int] = []
    try:
        for path in (wanted.stdout, wanted.stderr):
            opened.append(logs.open_existing(path))
    except OSError as error:
        _close(tuple(opened))
        raise specs.RefusedError(f"cannot open the output {path}: {error.strerror or error}") from error
    return opened[0], opened[1]


def _close(handles: tuple[int, ...]) -> None:
    for handle in handles:
        os.close(handle)
