"""What the control socket's requests do: status, apply, restart, run, shutdown, tail.

The agent's server calls `answer`, which asks the supervisor to do it. Every request is checked here and answered at
once; status tells how far things have come. Only a run is answered when it has ended.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from . import config, control, logs, runspecs, specs, supervised_unit, units

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import fullness, runs, supervisor

TAIL_DEFAULT = 20  # lines


class Operations:
    """The requests that a cell answers."""

    def __init__(
        self,
        configuration: config.Config,
        crew: supervisor.Supervisor,
        once: runs.Runs,
        disks: fullness.Fullness,
    ) -> None:
        self.config = configuration
        self.leaving = False
        self._supervisor = crew
        self._runs = once
        self._disks = disks
        self._ops: dict[str, Callable[[dict[str, Any]], dict[str, Any] | control.PendingAnswer]] = {
            "status": self._status,
            "apply": self._apply,
            "restart": self._restart,
            "run": self._run,
            "shutdown": self._shutdown,
            "tail": self._tail,
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | control.PendingAnswer:
        """The answer to one request. Raises RefusedError."""
        op = request.get("op")
        if not isinstance(op, str) or op not in self._ops:
            raise specs.RefusedError("op must be one of " + ", ".join(sorted(self._ops)))
        answer = self._ops[op](request)
        return answer if isinstance(answer, control.PendingAnswer) else dict(answer, ok=True)

    def leave(self) -> None:
        """Kills every run, lets every unit end in peace, then ends the cell."""
        if not self.leaving:
            logs.say("cell leaving")
        self.leaving = True
        self._runs.end_all()
        self._supervisor.stop_all()

    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        now = time.monotonic()
        told = [supervised_unit.status(unit, now) for unit in self._supervisor.supervised.values()]
        return {
            "pid": os.getpid(),
            "environment": self.config.environment,
            "leaving": self.leaving,
            "units": told,
            "runs": self._runs.status(),
            "images": self._disks.status(now),
        }

    def _apply(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse_when_leaving()
        wanted = specs.parse_units(request.get("units"))
        if wanted != self.config.units:
            changed = replace(self.config, units=wanted)
            try:
                config.write(changed)
            except OSError as error:
                raise specs.RefusedError(f"cannot write {changed.path}: {error.strerror}") from error
            self.config = changed
        done = self._supervisor.apply(wanted, time.monotonic())
        if any(done.values()):
            logs.say("units applied", **done)
        return done

    def _restart(self, request: dict[str, Any]) -> dict[str, Any]:
        self._refuse_when_leaving()
        unit = self._unit(request)
        if unit.spec.name in self._supervisor.to_stop:
            raise specs.RefusedError(f"unit {unit.spec.name} is being removed")
        self._supervisor.move(unit, units.RESTART, time.monotonic())
        return {}

    def _run(self, request: dict[str, Any]) -> control.PendingAnswer:
        self._refuse_when_leaving()
        return self._runs.begin(runspecs.parse(request), time.monotonic())

    def _shutdown(self, request: dict[str, Any]) -> dict[str, Any]:
        del request
        self.leave()
        return {}

    def _tail(self, request: dict[str, Any]) -> dict[str, Any]:
        lines = request.get("lines", TAIL_DEFAULT)
        if not isinstance(lines, int) or not 0 < lines <= logs.TAIL_LINES:
            raise specs.RefusedError(f"lines must be an integer from 1 to {logs.TAIL_LINES}")
        unit = self._unit(request)
        try:
            return {"lines": logs.tail(unit.spec.log, lines)}
        except OSError as error:
            raise specs.RefusedError(f"cannot read {unit.spec.log}: {error.strerror or error}") from error

    def _unit(self, request: dict[str, Any]) -> supervised_unit.SupervisedUnit:
        name = request.get("unit")
        if not isinstance(name, str) or name not in self._supervisor.supervised:
            raise specs.RefusedError("unit must name a unit of this cell; status lists them")
        return self._supervisor.supervised[name]

    def _refuse_when_leaving(self) -> None:
        if self.leaving:
            raise specs.RefusedError("the cell is shutting down; start it again when it is gone")
