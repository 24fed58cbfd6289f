"""The warm process: imports the third-party modules of one Airflow version once, and forks cells from then on.

The local backend starts it by its path, isolated, under Airflow's own interpreter:

    <venv>/bin/python -I <here>/warm.py --socket <path> --modules <file, one module a line> --log <path>

and, for a cell without a warm process (this is also how a cell starts itself anew):

    <venv>/bin/python -I <here>/warm.py --cell <cell.json> --modules <file> --log <path>

It must import nothing of Airflow, whose modules read an environment's configuration as they load. It must start no
thread, and learn nothing of any environment but the path of its configuration. Its death harms no cell.

With `--prime` it has a second warm process beside it, a fork of its own that runs a script first (`primed`). Whoever
asks for a cell says which of the two shall fork it, by the socket.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import importlib
import importlib.util
import json
import os
import platform
import select
import selectors
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from .primed import PrimedChild

PACKAGE = "aerodrome_cell"  # this folder's name inside the process: in sys.modules, and never on sys.path
PATIENCE = 20.0  # seconds in which a new cell says that it serves
LONGEST_REPORT = 64 * 1024  # bytes


def main() -> int:
    """Serves until told to exit, or becomes one cell; returns the exit code."""
    options = _options()
    _load_package(Path(__file__).resolve().parent)
    logs = _room("logs")
    os.umask(0o077)
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    logs.rotate(options.log)
    logs.redirect(options.log)
    if options.cell:
        preload(options.modules)
        return int(_room("agent").run(options.cell, lambda answer: logs.say("cell", **answer), cell_command(options)))
    if not _alone(options.socket + ".lock"):
        logs.say("another warm process serves already")
        return 0
    for needed in ("agent", "lent"):
        _room(needed)  # loaded now, so that every cell is of this very version, whatever is installed meanwhile
    done = preload(options.modules)
    primed = (
        _room("primed").PrimedChild(options.prime, lambda socket: Warm(options, socket, done).serve())
        if options.prime
        else None
    )
    _room("kernel").set_name("aerodrome-warm")
    return Warm(options, options.socket, done, primed).serve()


class Warm:
    """The warm process once it is alone: its modules, its socket, and the cells it forks."""

    def __init__(
        self,
        options: argparse.Namespace,
        socket: str,
        preloaded: tuple[int, list[str]],
        primed: PrimedChild | None = None,
    ) -> None:
        self._options = options
        self._primed = primed
        self._leaving = False
        self._imported, self._failed = preloaded
        self._selector = selectors.DefaultSelector()
        self._server = _room("control").Server(socket, self._selector, self.answer)

    def serve(self) -> int:
        """Answers requests until one says exit."""
        while not self._leaving:
            for key, mask in self._selector.select():
                key.data(mask)
        self._server.close()
        return 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request: spawn, lend, status or exit."""
        op = request.get("op")
        if op == "spawn":
            return self._spawn(request.get("config"))
        if op == "lend":
            return self._lend(request.get("meet"))
        if op == "status":
            return {
                "ok": True,
                "pid": os.getpid(),
                "python": platform.python_version(),
                "imported": self._imported,
                "failed": self._failed,
                "threads": _room("kernel").threads(),
                "primed": None if self._primed is None else self._primed.lives,
            }
        if op == "exit":
            self._leaving = True
            return {"ok": True}
        return {"ok": False, "error": "op must be one of exit, lend, spawn, status"}

    def _spawn(self, config: object) -> dict[str, Any]:
        """Forks twice, so that the cell is nobody's child; the cell itself reports how it went."""
        if not isinstance(config, str) or not config.startswith("/"):
            return {"ok": False, "error": "config must be the absolute path of a cell's configuration"}
        if self._primed is not None:
            self._primed.keep()  # who is asked instead of it sees to it
        reader, writer = os.pipe()
        try:
            middle = os.fork()
            if middle == 0:
                self._fork_cell(config, writer)
            os.close(writer)
            os.waitpid(middle, 0)
            return _hear(reader)
        finally:
            os.close(reader)

    def _lend(self, meet: object) -> dict[str, Any]:
        """Forks twice, so that the process is nobody's child; what it becomes, it hears from whoever borrows it."""
        if not isinstance(meet, str) or not meet.startswith("/"):
            return {"ok": False, "error": "meet must be the absolute path of a socket"}
        middle = os.fork()
        if middle == 0:
            try:
                if os.fork() == 0:
                    _room("lent").become(meet)
            finally:
                os._exit(0)
        os.waitpid(middle, 0)
        return {"ok": True}

    def _fork_cell(self, config: str, writer: int) -> None:
        """In the process between: leaves the session, forks the cell and ends."""
        try:
            os.setsid()
            if os.fork() == 0:
                self._become_cell(config, writer)
        finally:
            os._exit(0)

    def _become_cell(self, config: str, writer: int) -> None:
        def report(answer: dict[str, Any]) -> None:
            with contextlib.suppress(OSError):  # whoever asked may have given up; the cell lives, and will be found
                os.write(writer, json.dumps(answer).encode() + b"\n")
            os.close(writer)

        code = 1
        try:
            _room("kernel").close_all_but({writer})
            code = _room("agent").run(config, report, cell_command(self._options, config))
        except BaseException:  # noqa: BLE001 - whatever it is, it must not run on as a second warm process
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def preload(names: str) -> tuple[int, list[str]]:
    """Imports the modules listed in the file `names`; returns how many could be, and which could not."""
    say = _room("logs").say
    wanted = _read_names(names)
    failed = []
    started = time.monotonic()
    for name in wanted:
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - a module may raise anything, even SystemExit
            say("module not preloaded", module=name, error=f"{type(error).__name__}: {error}")
            failed.append(name)
    threads = _room("kernel").threads()
    if threads > 1:
        say("threads after preloading: they will be missing in every unit", threads=threads)
    say(
        "preloaded", modules=len(wanted) - len(failed), failed=len(failed), seconds=round(time.monotonic() - started, 3)
    )
    _room("immortal").settle()
    return len(wanted) - len(failed), failed


def _read_names(path: str) -> list[str]:
    """The names, without blank lines and comments. A list that is absent makes a slow start, not a failure."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        _room("logs").say("module list not read", path=path, error=type(error).__name__)
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def cell_command(options: argparse.Namespace, config: str | None = None) -> list[str]:
    """The command that starts this cell anew, in a fresh program image."""
    here = str(Path(__file__).resolve())
    cell = config or options.cell
    return [sys.executable, "-I", here, "--cell", cell, "--modules", options.modules, "--log", options.log]


def _hear(reader: int) -> dict[str, Any]:
    """What the new cell reports about its start."""
    deadline = time.monotonic() + PATIENCE
    received = b""
    while not received.endswith(b"\n") and len(received) < LONGEST_REPORT:
        if not select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return {"ok": False, "error": f"the new cell did not answer in {PATIENCE:.0f} s"}
        chunk = os.read(reader, LONGEST_REPORT)
        if not chunk:
            return {"ok": False, "error": "the new cell died at its start; the warm process's log says why"}
        received += chunk
    answer: dict[str, Any] = json.loads(received.decode())
    return answer


def _alone(lock: str) -> bool:
    """Takes the lock that one warm process holds for its life; a socket that is there then belongs to nobody."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Preload the modules of one Airflow version and fork cells.")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--socket", help="serve requests on this unix socket")
    task.add_argument("--cell", help="become the cell of this configuration file")
    parser.add_argument("--modules", required=True, help="a file with one module name a line")
    parser.add_argument("--prime", help="a file that says what a second warm process runs before it forks cells")
    parser.add_argument("--log", required=True, help="the log of the warm process")
    return parser.parse_args()


def _load_package(folder: Path) -> None:
    """Makes this folder importable as a package by its private name; sys.path is not touched."""
    spec = importlib.util.spec_from_file_location(
        PACKAGE, str(folder / "__init__.py"), submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load {folder}")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def _room(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


if __name__ == "__main__":
    sys.exit(main())
