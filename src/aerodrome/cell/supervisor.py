"""Every unit of the cell with its process, and the one place where decisions become effects.

The agent tells it what was asked and what happened; `units` decides; here processes are started, signalled and buried.
It must not decide by itself, and never logs a unit's environment or arguments.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from . import config, kernel, listeners, liveness, logs, spawn, specs, state_file, supervised_unit, units

if TYPE_CHECKING:
    import socket

    from .nursery import Nursery


class Roster:
    """The units of a cell. Times are seconds of the monotonic clock."""

    def __init__(self, requests: socket.socket, state: str, nursery: Nursery) -> None:
        self.members: dict[str, supervised_unit.Member] = {}
        self.doomed: set[str] = set()
        self._requests = requests
        self.nursery = nursery
        self._listeners = listeners.Listeners()
        self._missing: dict[int, str] = {}
        self._leaving = False
        self._looked_at = 0.0
        self._state = state
        self._boot = kernel.boot_id()
        self._saved = ""

    def adopt(self, wanted: tuple[specs.Spec, ...], now: float) -> None:
        """Takes over what a former cell left running, then brings it to the wanted units.

        Raises RefusedError when it begins with nothing and a port is somebody else's: tokens would be sent there.
        """
        records = state_file.load(self._state)
        for one in records:
            self.members[one.spec.name] = supervised_unit.adopted(one)
        if any(kernel.alive(one.pid, one.start) for one in records):
            # A single restart must not wait for the nursery's imports, which pay only when all units start.
            self.nursery.give_up("units were adopted")
        else:
            for port, reason in self._listeners.hold(wanted, alone=True).items():
                raise specs.RefusedError(_no_port(port, reason))
        self.apply(wanted, now)

    def apply(self, wanted: tuple[specs.Spec, ...], now: float) -> dict[str, list[str]]:
        """Adds, removes and restarts units until they are the wanted ones; says which. Idempotent."""
        names = {spec.name for spec in wanted}
        removed = [name for name in self.members if name not in names and name not in self.doomed]
        self.doomed |= set(removed)
        added, changed = [], []
        for spec in wanted:
            member = self.members.get(spec.name)
            if member is None:
                self.members[spec.name] = supervised_unit.fresh(spec, now)
                added.append(spec.name)
            elif self._renew(member, spec, now):
                changed.append(spec.name)
        self._hold_ports()
        self.settle(now)
        return {"added": added, "removed": removed, "changed": changed}

    def doom_all(self) -> None:
        """Every unit shall stop for good, those first that others do not need; ports stay held to the end."""
        self.doomed |= set(self.members)
        self._leaving = True

    def move(self, member: supervised_unit.Member, event: str, now: float) -> None:
        """Lets the table decide about one event, and does what it says."""
        member.unit, action = units.decide(member.unit, event, now)
        if action == units.LAUNCH:
            self._launch(member, now)
        elif action == units.TERMINATE:
            self._terminate(member)
        elif action == units.KILL:
            self._kill(member)

    def settle(self, now: float) -> None:
        """Does all that is due, drops units that are gone for good, and saves the state."""
        while True:
            table = {name: member.unit for name, member in self.members.items()}
            moves = units.plan(table, self.doomed, now)
            if not moves:
                break
            for name, event in moves:
                self.move(self.members[name], event, now)
        for name in [one for one in self.doomed if self.members[one].unit.state == units.STOPPED]:
            logs.say("unit stopped", unit=name)
            del self.members[name]
            self.doomed.discard(name)
        self.save()

    def observe(self, now: float) -> None:
        """Looks after the units that nothing reports of: adopted ones, and those that may have become ready."""
        self._hold_ports()
        for member in list(self.members.values()):
            if member.pid is not None and member.adopted and not kernel.alive(member.pid, member.start):
                self.bury(member, None, None, now)
            if member.notices is not None:
                member.notices.read()
            if member.unit.state == units.STARTING and supervised_unit.serves(member):
                seconds = round(now - member.unit.since, 3)
                self.move(member, units.SERVES, now)
                logs.say("unit ready", unit=member.spec.name, seconds=seconds)

    def watch(self, now: float) -> None:
        """Looks whether units that have a process still do something, and kills those that do not."""
        seconds = now - self._looked_at
        if seconds < liveness.LOOK_EVERY:
            return
        self._looked_at = now
        for member in self.members.values():
            found = None if member.pid is None else kernel.process(member.pid)
            if found is None:
                continue
            notices = member.notices
            beat, trouble = (notices.take_beat(), notices.trouble) if notices is not None else (False, "")
            sight = liveness.Sight(beat, trouble, found.state)
            member.pulse = liveness.looked(member.pulse, sight, seconds)
            reason = liveness.verdict(member.pulse)
            if reason:
                member.hung, member.pulse = reason, liveness.Pulse(beats=member.pulse.beats)
                self.move(member, units.HUNG, now)

    def bury(self, member: supervised_unit.Member, code: int | None, number: int | None, now: float) -> None:
        """Its main process is dead (and not reaped yet, when our child): kills what it left, then decides."""
        left = _kill_leftovers(member)
        name = None if number is None else _signal_name(number)
        logs.say("unit exited", unit=member.spec.name, pid=member.pid, code=code, signal=name, left=left)
        member.last_exit = {"code": code, "signal": name, "at": now}
        if member.hung:
            member.last_exit["hung"] = member.hung
        self._forget_process(member)
        self.move(member, units.EXITED, now)

    def by_pid(self, pid: int) -> supervised_unit.Member | None:
        """The unit whose main process this is."""
        return next((member for member in self.members.values() if member.pid == pid), None)

    def save(self) -> None:
        """Writes the state file if anything changed. A full disk is logged and tried again: units must go on."""
        running = [member for member in self.members.values() if member.pid is not None]
        text = state_file.render([supervised_unit.record(member) for member in running], self._boot)
        if text == self._saved:
            return
        try:
            config.write_atomically(self._state, text, durable=False)
            self._saved = text
        except OSError as error:
            logs.say("cannot write the state file", error=error.strerror)

    def _renew(self, member: supervised_unit.Member, spec: specs.Spec, now: float) -> bool:
        """Makes an existing unit the wanted one; says whether its process had to change."""
        self.doomed.discard(member.spec.name)
        replaced = member.spec.digest != spec.digest
        due = supervised_unit.must_restart(member, spec)
        if due:
            self.move(member, units.RESTART, now)
        member.spec = spec
        member.unit = replace(member.unit, after=spec.after, grace=spec.grace)
        return due or replaced

    def _launch(self, member: supervised_unit.Member, now: float) -> None:
        member.trouble = ""
        try:
            launch = self._fork(member.spec)
        except spawn.LaunchError as error:
            logs.say("unit not started", unit=member.spec.name, error=str(error))
            member.trouble = str(error)
            member.last_exit = {"code": None, "signal": None, "at": now}
            self.move(member, units.EXITED, now)
            return
        member.pid, member.start, member.notices = launch.pid, launch.start, launch.notices
        member.running, member.digest, member.adopted = member.spec, member.spec.digest, False
        self.save()
        launch.release(member.spec)
        if member.spec.ready == supervised_unit.STARTED:
            self.move(member, units.SERVES, now)
        logs.say("unit started", unit=member.spec.name, pid=launch.pid, restarts=member.unit.restarts)

    def _hold_ports(self) -> None:
        """As soon as a unit is wanted, long before it could bind its port itself, and until it is gone."""
        if self._leaving:
            return
        missing = self._listeners.hold(one.spec for one in self.members.values())
        if missing != self._missing:
            logs.say("ports not to be had", ports=missing)
            self._missing = missing

    def _fork(self, spec: specs.Spec) -> spawn.Launch:
        """A process for the unit, with its listener if it has one. Raises LaunchError."""
        if spec.listen is None:
            return self._launched(spec, None)
        try:
            listener = listeners.bound(spec.listen, spec)
        except OSError as error:
            raise spawn.LaunchError(_no_port(spec.listen, error.strerror or str(error))) from error
        with listener:
            return self._launched(spec, listener)

    def _launched(self, spec: specs.Spec, listener: socket.socket | None) -> spawn.Launch:
        launch = self.nursery.launch(self._requests, spec, listener)
        return launch or spawn.fork(self._requests, spec, listener=listener)

    def _terminate(self, member: supervised_unit.Member) -> None:
        """Signals the main process only: a pool's children must be let finish by their parent."""
        running = member.running
        if member.pid is None or running is None:
            return
        logs.say("unit stopping", unit=member.spec.name, pid=member.pid, signal=running.stop_signal)
        if not member.adopted or kernel.alive(member.pid, member.start):
            with contextlib.suppress(OSError):
                os.kill(member.pid, getattr(signal, running.stop_signal))

    def _kill(self, member: supervised_unit.Member) -> None:
        if member.pid is None or (member.adopted and not kernel.alive(member.pid, member.start)):
            return
        logs.say("unit killed", unit=member.spec.name, pid=member.pid, why=member.hung or "not stopped in its grace")
        kernel.kill_session(member.pid)

    def _forget_process(self, member: supervised_unit.Member) -> None:
        if member.notices is not None:
            member.notices.close()
        member.pid, member.running, member.notices, member.adopted = None, None, None, False
        member.pulse, member.hung = liveness.Pulse(), ""


def _kill_leftovers(member: supervised_unit.Member) -> int:
    """Kills the rest of the unit's session, unless an adopted unit's number has been given to another process."""
    if member.pid is None:
        return 0
    found = kernel.process(member.pid)
    if found is not None and found.start != member.start:
        return 0
    return kernel.kill_session(member.pid)


def _no_port(port: int, reason: str) -> str:
    return f"cannot listen on 127.0.0.1:{port}: {reason}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
