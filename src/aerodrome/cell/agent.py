"""The cell itself: one loop that hears its clients, its dead children and the clock, and keeps the wanted units alive.

The warm process forks it, or a program image of its own runs it. It is orphaned on purpose and outlives the control
plane. `units` decides, `supervisor` acts. A cell that was killed and is started again adopts what still runs. It must
not block on a unit, on a client, or on a file that a unit may touch.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING

from . import (
    config,
    control,
    control_requests,
    forker,
    fullness,
    images,
    kernel,
    liveness,
    logs,
    mounts,
    nursery,
    placement,
    runs,
    specs,
    supervisor,
    units,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LONGEST_SLEEP = 1.0  # seconds between two looks at log sizes and status texts; a lost wake-up costs no more than this
PROBE_EVERY = 0.05  # seconds, while a unit starts
PROBE_SLOWLY = 0.5  # seconds, for a unit that has been starting for long
LONG_START = 60.0  # seconds
POLL_ADOPTED = 0.25  # seconds: adopted units are not our children, so nothing tells of their death
MOST_REAPED = 1000  # in one round; the orphans of a fork bomb must not hold the loop
WAIT_FOR_HOLDER = 2.0  # seconds in which the holder of the lock has written its number into it


class TwinError(Exception):
    """Another cell of this environment is alive."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"a cell is alive already: process {pid}")
        self.pid = pid


def run(path: str, report: Callable[[dict[str, Any]], None], again: list[str]) -> int:
    """Becomes the cell of the configuration at `path`; returns the exit code.

    Args:
        path: the configuration file.
        report: is told once whether the cell serves, as the answer to a spawn request.
        again: the command that starts this cell anew if the forker is lost.
    """
    try:
        agent = _start(path, again)
    except TwinError as twin:
        report({"ok": True, "pid": twin.pid, "already": True})
        return 0
    except (specs.RefusedError, OSError) as error:
        logs.say("cell not started", error=str(error))
        report({"ok": False, "error": f"cannot start the cell: {error}"})
        return 1
    report({"ok": True, "pid": os.getpid()})
    agent.loop()
    return agent.finish()


def _start(path: str, again: list[str]) -> Agent:
    if not kernel.supported():
        raise specs.RefusedError("a cell needs Linux: without /proc it could not tell its units after a restart")
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    os.umask(0o077)
    os.chdir("/")
    kernel.become_subreaper()
    apart = mounts.leave()  # before there is a forker, so that units are where we are
    forker_pid, requests = forker.start()  # before the configuration is read: the forker must not know any secret
    configuration = config.read(path)
    kernel.set_name("aerodrome-cell")
    _take_lock(configuration.lock)
    logs.redirect(configuration.log)
    lost = images.show(configuration.images) if apart else [each.file for each in configuration.images]
    if lost:
        raise specs.RefusedError(f"cannot show the disk images {', '.join(lost)}")
    if apart:
        _keep_apart(configuration.private, hides=configuration.hides)
    hidden = mounts.show(configuration.views) if apart else [path for _, path in configuration.views]
    if not hidden:
        hidden = [path for path in configuration.linkless if not apart or not mounts.forbid_links(path)]
    if hidden:
        # Units would take other folders for theirs.
        raise specs.RefusedError(f"cannot show {', '.join(hidden)}: that needs root and a mount namespace")
    config.write_atomically(configuration.pid_file, f"{os.getpid()}\n", durable=False)
    return Agent(configuration, requests, forker_pid, again)


def _keep_apart(private: str | None, *, hides: bool) -> None:
    """Gives units a /tmp of their own, and shows them no process of others."""
    if private is not None and not mounts.replace_shared(private):
        raise specs.RefusedError(f"cannot put a folder in {private} in the place of /tmp")
    if hides and not mounts.hide_processes():
        logs.say("units see the processes of others", reason="the kernel is too old, or does not let us mount /proc")


def _take_lock(path: str) -> None:
    """Holds the lock until this process ends. Raises TwinError."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TwinError(_holder(handle)) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def _holder(handle: int) -> int:
    deadline = time.monotonic() + WAIT_FOR_HOLDER
    while time.monotonic() < deadline:
        text = os.pread(handle, 32, 0)
        if text.endswith(b"\n"):
            return int(text)
        time.sleep(0.02)
    raise specs.RefusedError("another cell holds the lock and does not say its number")


class Agent:
    """The loop: signals, requests, deaths and the clock."""

    def __init__(
        self, configuration: config.Config, requests: socket.socket, forker_pid: int, again: list[str]
    ) -> None:
        self.config = configuration
        self._forker_pid = forker_pid
        self._again = again
        self._selector = selectors.DefaultSelector()
        self._terminated = False
        self._forker_lost = False
        self._looked_at = 0.0
        self._helpers: dict[int, liveness.Pulse] = {}
        self._next_rotation = 0.0
        self._unrotatable: set[str] = set()
        self._listen_to_signals()
        self._placement = placement.Placement(configuration.group, configuration.writable)
        self._placement.enter(os.getpid(), forker_pid)
        self.supervisor = supervisor.Supervisor(
            requests,
            configuration.state,
            nursery.Nursery(configuration.prelude, configuration.writable),
            self._placement,
        )
        self.runs = runs.Runs(requests, self.supervisor.nursery, self._placement)
        self._disks = fullness.Fullness(configuration.images)
        self.operations = control_requests.Operations(configuration, self.supervisor, self.runs, self._disks)
        self._server = control.Server(configuration.socket, self._selector, self.operations.answer)
        self.supervisor.adopt(configuration.units, time.monotonic())

    def loop(self) -> None:
        """Keeps the units until a shutdown is complete."""
        logs.say("cell started", environment=self.config.environment, pid=os.getpid())
        while not (self.operations.leaving and not self.supervisor.supervised and not self.runs):
            try:
                self.step()
            except Exception as error:  # noqa: BLE001 - every round looks at everything anew; units need a keeper
                logs.fault("round failed", error)
                time.sleep(PROBE_SLOWLY)

    def step(self) -> None:
        """One round: wait, hear what happened, and do what is due."""
        for key, mask in self._selector.select(self._patience(time.monotonic())):
            key.data(mask)
        now = time.monotonic()
        if self._terminated and not self.operations.leaving:
            self.operations.leave()
        self._reap(now)
        if self._forker_lost and not self.operations.leaving:
            self._start_again()
        self.supervisor.observe(now)
        self.supervisor.watch(now)
        self._watch_helpers(now)
        self.supervisor.settle(now)
        self.runs.look(now)
        self._disks.look(now)
        self._rotate(now)

    def finish(self) -> int:
        """After the last unit: kills what units left behind, and removes this cell's files but its log and its lock."""
        self.supervisor.nursery.close()
        left = self._placement.end() + kernel.kill_descendants(os.getpid(), self._forker_pid)
        self._server.close()
        for path in (self.config.state, self.config.pid_file):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        logs.say("cell finished", left=left)
        return 0

    def _listen_to_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.settimeout(0)
        writer.settimeout(0)
        self._wakeup = (reader, writer)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGCHLD, self._on_signal)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._selector.register(reader, selectors.EVENT_READ, self._drain)

    def _on_signal(self, number: int, frame: object) -> None:
        del frame
        if number == signal.SIGTERM:
            self._terminated = True

    def _drain(self, mask: int) -> None:
        del mask
        with contextlib.suppress(BlockingIOError):
            while self._wakeup[0].recv(4096):
                pass

    def _patience(self, now: float) -> float:
        """Seconds until something must be looked at even if nobody calls."""
        times = [now + LONGEST_SLEEP]
        table = {name: unit.decided for name, unit in self.supervisor.supervised.items()}
        times += [due for due in (units.wake(table), self.runs.wake(now)) if due is not None]
        starting = [now - unit.since for unit in table.values() if unit.state == units.STARTING]
        if starting:
            times.append(now + (PROBE_EVERY if min(starting) < LONG_START else PROBE_SLOWLY))
        if any(unit.adopted for unit in self.supervisor.supervised.values()):
            times.append(now + POLL_ADOPTED)
        return max(0.0, min(times) - now)

    def _reap(self, now: float) -> None:
        """Handles the deaths of children, and reaps them only then, so that nobody else can have their number."""
        for _ in range(MOST_REAPED):
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            exited = dead.si_code == os.CLD_EXITED
            code, number = (dead.si_status, None) if exited else (None, dead.si_status)
            unit = self.supervisor.by_pid(dead.si_pid)
            if unit is not None:
                self.supervisor.handle_exit(unit, code, number, now)
            self.runs.handle_exit(dead.si_pid, code, number)
            self._forker_lost |= dead.si_pid == self._forker_pid
            if dead.si_pid == self.supervisor.nursery.pid:
                self.supervisor.nursery.give_up("it died")
            os.waitpid(dead.si_pid, 0)

    def _watch_helpers(self, now: float) -> None:
        """Kills a forker or a nursery that a signal has stopped: every fork would wait for it in vain."""
        seconds = now - self._looked_at
        if seconds < liveness.LOOK_EVERY:
            return
        self._looked_at = now
        pulses = {}
        for pid in (self._forker_pid, self.supervisor.nursery.pid):
            if pid is None:
                continue
            found = kernel.process(pid)
            sight = liveness.Observation(beat=False, trouble="", state="" if found is None else found.state)
            pulses[pid] = liveness.looked(self._helpers.get(pid, liveness.Pulse()), sight, seconds)
            reason = liveness.verdict(pulses[pid])
            if reason:
                logs.say("helper killed", pid=pid, why=reason)
                os.kill(pid, signal.SIGKILL)
        self._helpers = pulses

    def _start_again(self) -> None:
        """A forker made from this process would know every secret, so a new forker needs a new program image.

        The process number stays, so the units stay our children.
        """
        logs.say("forker lost: the cell starts again")
        self.runs.end_all()
        self.supervisor.save()
        os.execv(self._again[0], self._again)  # noqa: S606 - our own interpreter, no shell

    def _rotate(self, now: float) -> None:
        if now < self._next_rotation:
            return
        self._next_rotation = now + LONGEST_SLEEP
        paths = {(unit.running or unit.spec).log for unit in self.supervisor.supervised.values()}
        for path in paths | {self.config.log}:
            try:
                logs.rotate(path)
                self._unrotatable.discard(path)
            except OSError as error:
                if path not in self._unrotatable:
                    self._unrotatable.add(path)
                    logs.say("log not rotated", path=path, error=error.strerror or str(error))
