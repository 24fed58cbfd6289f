"""Every unit of the cell with its process, and the one place where decisions become effects.

The agent says what was asked for and what happened, and `units` decides. This module starts, signals and kills
processes. It must not decide by itself, and it never logs a unit's environment or arguments.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from . import config, kernel, listeners, liveness, logs, spawn, specs, state_file, supervised_unit, units

if TYPE_CHECKING:
    import socket

    from .nursery import Nursery
    from .placement import Placement


class Supervisor:
    """The units of a cell. Times are seconds of the monotonic clock."""

    def __init__(self, requests: socket.socket, state: str, nursery: Nursery, placement: Placement) -> None:
        self.supervised: dict[str, supervised_unit.SupervisedUnit] = {}
        self.to_stop: set[str] = set()
        self._requests = requests
        self.nursery = nursery
        self._placement = placement
        self._listeners = listeners.Listeners()
        self._missing: dict[int, str] = {}
        self._forked: list[tuple[supervised_unit.SupervisedUnit, spawn.Launch]] = []
        """Those that wait to be let run."""
        self._leaving = False
        self._looked_at = 0.0
        self._state = state
        self._boot = kernel.boot_id()
        self._saved = ""

    def adopt(self, wanted: tuple[specs.UnitSpec, ...], now: float) -> None:
        """Takes over what a former cell left running, then makes the units the wanted ones.

        Raises RefusedError when nothing ran and somebody else has a port: units would send their tokens there.
        """
        records = state_file.load(self._state)
        for one in records:
            self.supervised[one.spec.name] = supervised_unit.adopted(one)
            self._placement.adopt(one.spec.name, one.pid)
        if any(kernel.alive(one.pid, one.start) for one in records):
            # A single restart must not wait for the nursery's imports, which pay only when all units start.
            self.nursery.give_up("units were adopted")
        else:
            for port, reason in self._listeners.hold(wanted, alone=True).items():
                raise specs.RefusedError(_no_port(port, reason))
        self.apply(wanted, now)

    def apply(self, wanted: tuple[specs.UnitSpec, ...], now: float) -> dict[str, list[str]]:
        """Adds, removes and restarts units until they are the wanted ones; returns which. Idempotent."""
        names = {spec.name for spec in wanted}
        removed = [name for name in self.supervised if name not in names and name not in self.to_stop]
        self.to_stop |= set(removed)
        added, changed = [], []
        for spec in wanted:
            unit = self.supervised.get(spec.name)
            if unit is None:
                self.supervised[spec.name] = supervised_unit.fresh(spec, now)
                added.append(spec.name)
            elif self._renew(unit, spec, now):
                changed.append(spec.name)
        self._hold_ports()
        self.settle(now)
        return {"added": added, "removed": removed, "changed": changed}

    def stop_all(self) -> None:
        """Stops every unit for good, first those that no other needs; ports stay held to the end."""
        self.to_stop |= set(self.supervised)
        self._leaving = True

    def move(self, unit: supervised_unit.SupervisedUnit, event: str, now: float) -> None:
        """Lets the table decide about one event, and does what it says."""
        unit.decided, action = units.decide(unit.decided, event, now)
        if action == units.LAUNCH:
            self._launch(unit, now)
        elif action == units.TERMINATE:
            self._terminate(unit)
        elif action == units.KILL:
            self._kill(unit, now)

    def settle(self, now: float) -> None:
        """Does all that is due, drops units that are gone for good, and saves the state."""
        while True:
            table = {name: unit.decided for name, unit in self.supervised.items()}
            moves = units.plan(table, self.to_stop, now)
            if not moves:
                break
            for name, event in moves:
                self.move(self.supervised[name], event, now)
            self._let_run(now)
        for name in [one for one in self.to_stop if self.supervised[one].decided.state == units.STOPPED]:
            logs.say("unit stopped", unit=name)
            del self.supervised[name]
            self.to_stop.discard(name)
            self._placement.forget(name)
        self.save()

    def observe(self, now: float) -> None:
        """Looks after the units that nothing reports of: adopted ones, and those that may have become ready."""
        self._hold_ports()
        for unit in list(self.supervised.values()):
            if unit.pid is not None and unit.adopted and not kernel.alive(unit.pid, unit.start):
                self.handle_exit(unit, None, None, now)
            if unit.notices is not None:
                unit.notices.read()
            if unit.decided.state == units.STARTING and supervised_unit.serves(unit):
                seconds = round(now - unit.decided.since, 3)
                self.move(unit, units.SERVES, now)
                logs.say("unit ready", unit=unit.spec.name, seconds=seconds)

    def watch(self, now: float) -> None:
        """Checks whether units that have a process still do something, and kills those that do not."""
        mains = {name: unit.pid for name, unit in self.supervised.items() if unit.pid is not None}
        self._placement.look(mains, now)
        for name, unit in self.supervised.items():
            unit.met.update(self._placement.met(name))
        seconds = now - self._looked_at
        if seconds < liveness.LOOK_EVERY:
            return
        self._looked_at = now
        for unit in self.supervised.values():
            found = None if unit.pid is None else kernel.process(unit.pid)
            if found is None:
                continue
            notices = unit.notices
            beat, trouble = (notices.take_beat(), notices.trouble) if notices is not None else (False, "")
            sight = liveness.Observation(beat, trouble, found.state, found.used / kernel.TICKS)
            unit.pulse = liveness.looked(unit.pulse, sight, seconds)
            reason = liveness.verdict(unit.pulse)
            if reason:
                unit.hung, unit.pulse = reason, liveness.Pulse(beats=unit.pulse.beats)
                self.move(unit, units.HUNG, now)

    def handle_exit(
        self, unit: supervised_unit.SupervisedUnit, code: int | None, number: int | None, now: float
    ) -> None:
        """Handles the death of a unit's main process, which is not reaped yet: kills what it left, then decides."""
        left = self._kill_leftovers(unit, now)
        name = None if number is None else _signal_name(number)
        logs.say("unit exited", unit=unit.spec.name, pid=unit.pid, code=code, signal=name, left=left)
        unit.last_exit = {"code": code, "signal": name, "at": _clock()}
        if unit.hung:
            unit.last_exit["hung"] = unit.hung
        self._forget_process(unit)
        self.move(unit, units.EXITED, now)

    def by_pid(self, pid: int) -> supervised_unit.SupervisedUnit | None:
        """The unit whose main process this is."""
        return next((unit for unit in self.supervised.values() if unit.pid == pid), None)

    def save(self) -> None:
        """Writes the state file if anything changed. A full disk is logged and tried again: units must go on."""
        running = [unit for unit in self.supervised.values() if unit.pid is not None]
        text = state_file.render([supervised_unit.record(unit) for unit in running], self._boot)
        if text == self._saved:
            return
        try:
            config.write_atomically(self._state, text, durable=False)
            self._saved = text
        except OSError as error:
            logs.say("cannot write the state file", error=error.strerror)

    def _renew(self, unit: supervised_unit.SupervisedUnit, spec: specs.UnitSpec, now: float) -> bool:
        """Makes an existing unit the wanted one; returns whether its process had to change."""
        self.to_stop.discard(unit.spec.name)
        replaced = unit.spec.digest != spec.digest
        due = supervised_unit.must_restart(unit, spec)
        if due:
            self.move(unit, units.RESTART, now)
        if unit.spec.limits != spec.limits:
            self._placement.renew(spec)
        unit.spec = spec
        unit.decided = replace(unit.decided, after=spec.after, grace=spec.grace)
        return due or replaced

    def _launch(self, unit: supervised_unit.SupervisedUnit, now: float) -> None:
        unit.trouble = ""
        try:
            launch = self._fork(unit.spec)
        except spawn.LaunchError as error:
            logs.say("unit not started", unit=unit.spec.name, error=str(error))
            unit.trouble = str(error)
            unit.last_exit = {"code": None, "signal": None, "at": _clock()}
            self.move(unit, units.EXITED, now)
            return
        unit.pid, unit.start, unit.started_at, unit.notices = launch.pid, launch.start, _clock(), launch.notices
        unit.running, unit.digest, unit.adopted = unit.spec, unit.spec.digest, False
        self.save()
        self._forked.append((unit, launch))

    def _let_run(self, now: float) -> None:
        """Lets every process that was forked become its unit.

        All move into their groups at once: the kernel waits for the first, some 20 ms, and then for no other.
        """
        forked, self._forked = self._forked, []
        documents = [self._placement.place(unit.spec, launch.pid) for unit, launch in forked]
        for (unit, launch), document in zip(forked, documents):
            launch.release(document)
            if unit.spec.ready == supervised_unit.STARTED:
                self.move(unit, units.SERVES, now)
            logs.say("unit started", unit=unit.spec.name, pid=launch.pid, restarts=unit.decided.restarts)

    def _hold_ports(self) -> None:
        """Holds ports as soon as a unit is wanted, long before the unit could bind its port, and until it is gone."""
        if self._leaving:
            return
        missing = self._listeners.hold(one.spec for one in self.supervised.values())
        if missing != self._missing:
            logs.say("ports not to be had", ports=missing)
            self._missing = missing

    def _fork(self, spec: specs.UnitSpec) -> spawn.Launch:
        """A process for the unit, with its listener if it has one. Raises LaunchError."""
        if spec.listen is None:
            return self._launched(spec, None)
        try:
            listener = listeners.bound(spec.listen, spec)
        except OSError as error:
            raise spawn.LaunchError(_no_port(spec.listen, error.strerror or str(error))) from error
        with listener:
            return self._launched(spec, listener)

    def _launched(self, spec: specs.UnitSpec, listener: socket.socket | None) -> spawn.Launch:
        launch = self.nursery.launch(self._requests, spec, listener)
        return launch or spawn.fork(self._requests, spec, listener=listener)

    def _terminate(self, unit: supervised_unit.SupervisedUnit) -> None:
        """Signals the main process only: the parent of a pool must let its children finish."""
        running = unit.running
        if unit.pid is None or running is None:
            return
        logs.say("unit stopping", unit=unit.spec.name, pid=unit.pid, signal=running.stop_signal)
        if not unit.adopted or kernel.alive(unit.pid, unit.start):
            with contextlib.suppress(OSError):
                os.kill(unit.pid, getattr(signal, running.stop_signal))

    def _kill(self, unit: supervised_unit.SupervisedUnit, now: float) -> None:
        if unit.pid is None or (unit.adopted and not kernel.alive(unit.pid, unit.start)):
            return
        logs.say("unit killed", unit=unit.spec.name, pid=unit.pid, why=unit.hung or "not stopped in its grace")
        if self._placement.kill(unit.spec.name, now) is None:
            kernel.kill_session(unit.pid)

    def _kill_leftovers(self, unit: supervised_unit.SupervisedUnit, now: float) -> int:
        """Kills the rest of the unit; of its session alone where it has no group.

        An adopted unit's number may have been given to another process.
        """
        left = self._placement.kill(unit.spec.name, now)
        if left is not None or unit.pid is None:
            return left or 0
        found = kernel.process(unit.pid)
        if found is not None and found.start != unit.start:
            return 0
        return kernel.kill_session(unit.pid)

    def _forget_process(self, unit: supervised_unit.SupervisedUnit) -> None:
        if unit.notices is not None:
            unit.notices.close()
        unit.pid, unit.running, unit.notices, unit.adopted = None, None, None, False
        unit.pulse, unit.hung = liveness.Pulse(), ""


def _no_port(port: int, reason: str) -> str:
    return f"cannot listen on 127.0.0.1:{port}: {reason}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _clock() -> float:
    return round(time.time(), 3)
