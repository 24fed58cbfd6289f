"""A launcher that honours the unit specification, with as little around it as can be."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from aerodrome.airflow import units
from aerodrome.airflow.context import Context
from aerodrome.airflow.units import UnitDocument
from waiting import wait_for

NURSERY = Path(__file__).with_name("nursery.py")


class Launcher:
    """Starts units as their specification says: by exec, or all at once by forks of one process."""

    def __init__(self, interpreter: Path) -> None:
        self._interpreter = interpreter
        self.running: dict[str, tuple[subprocess.Popen[bytes] | psutil.Process, int]] = {}
        """The process of each unit, and where it says that it is ready."""
        self.started: dict[str, float] = {}
        self._nursery: subprocess.Popen[bytes] | None = None
        self._codes = Path()

    def fork(
        self, context: Context, wanted: Sequence[UnitDocument], *, changes: Path | None = None, prime: Any = None
    ) -> None:
        """Run the prelude in a process, and fork the units from it; `prime` comes before the prelude.

        The file `changes` is changed between prelude and units.
        """
        plan, report, self._codes = (context.run / f"{name}.json" for name in ("plan", "report", "codes"))
        pipes = {unit["name"]: os.pipe() for unit in wanted}
        document = {
            "prime": prime,
            "prelude": units.prelude(context),
            "units": [{**unit, "notify": pipes[unit["name"]][1]} for unit in wanted],
            "changes": changes and str(changes),
        }
        plan.write_text(json.dumps(document))
        self._nursery = subprocess.Popen(
            [str(self._interpreter), "-I", str(NURSERY), str(plan), str(report), str(self._codes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            pass_fds=[writer for _, writer in pipes.values()],
        )
        for _, writer in pipes.values():
            os.close(writer)
        wait_for("the units", report.exists, limit=120)
        for name, pid in json.loads(report.read_text()).items():
            self.running[name] = (psutil.Process(pid), pipes[name][0])
            self.started[name] = time.monotonic()

    def start(self, unit: UnitDocument) -> None:
        reader, writer = os.pipe()
        Path(unit["log"]).parent.mkdir(parents=True, exist_ok=True)
        with Path(unit["log"]).open("ab") as log:
            process = subprocess.Popen(
                [str(self._interpreter), *unit["argv"]],
                env={**unit["env"], "AERODROME_NOTIFY_FD": str(writer)},
                cwd=unit["cwd"],
                umask=unit["umask"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writer],
                start_new_session=True,
            )
        os.close(writer)
        self.running[unit["name"]] = (process, reader)
        self.started[unit["name"]] = time.monotonic()

    def wait_ready(self, unit: UnitDocument, *, seconds: float = 120) -> float:
        """Seconds from start to READY=1."""
        _, reader = self.running[unit["name"]]
        os.set_blocking(reader, False)

        def said() -> bool | None:
            try:
                text = os.read(reader, 100)
            except BlockingIOError:
                return None
            assert text, Path(unit["log"]).read_text()[-4000:]
            return b"READY=1" in text.splitlines()

        wait_for(f"{unit['name']} ready", said, limit=seconds)
        return time.monotonic() - self.started[unit["name"]]

    def kill(self, name: str) -> None:
        """SIGKILL to everything that the unit started."""
        process, reader = self.running.pop(name)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        os.close(reader)

    def stop(self) -> dict[str, int]:
        """Stop all; the exit codes."""
        for process, _ in self.running.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        codes: dict[str, int | None] = {}
        for name, (process, reader) in self.running.items():
            try:
                codes[name] = process.wait(40)
            except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
                os.killpg(process.pid, signal.SIGKILL)
                codes[name] = process.wait()
            os.close(reader)
        self.running.clear()
        return self._with_those_of_forks(codes)

    def _with_those_of_forks(self, codes: dict[str, int | None]) -> dict[str, int]:
        """The process that they were forked from knows the codes that we do not."""
        told: dict[str, int] = {}
        if self._nursery is not None:
            self._nursery.communicate()
            told = json.loads(self._codes.read_text())
        return {name: told[name] if code is None else code for name, code in codes.items()}


def layout(pid):
    """Where the heap begins: the same in a fork, another after exec."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.partition("-")[0] for line in maps if line.endswith("[heap]"))
