"""Drives real warm processes and cells over their sockets, under any interpreter; shared with tests/faults/cell."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lines
from aerodrome.cell import cgroups, images, kernel
from aerodrome.services import accounts
from matrices import ALL_FAULTS
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

WARM = Path(kernel.__file__).with_name("warm.py")
VERSIONS = ("3.7", "3.12", "3.13") if lines.ALL or ALL_FAULTS else ("3.7", "3.12")
"""The oldest Python that a cell runs on, that of the Airflow versions offered now, and the newest."""
DEADLINE = 30.0  # seconds any condition may take on a busy machine
MODULES = ("json", "logging.handlers", "no_such_module_anywhere", "pkgutil")
BASE_ENV = {"PATH": os.environ.get("PATH", os.defpath), "HOME": "/", "LANG": "C.UTF-8"}

SLEEPER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
os.write(int(os.environ.pop("AERODROME_NOTIFY_FD")), b"READY=1\\n")
while True:
    time.sleep(0.05)
"""

NOTIFIER = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
fd = int(os.environ.pop("AERODROME_NOTIFY_FD"))
go = os.environ.get("GO")
while go and not os.path.exists(go):
    time.sleep(0.01)
os.write(fd, b"STATUS=serving tests\\nREADY=1\\n")
while True:
    time.sleep(0.05)
"""


LISTENER = """
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
listener = socket.socket(fileno=int(os.environ["AERODROME_LISTEN_FD"]))
go = os.environ.get("GO")
while go and not os.path.exists(go):
    time.sleep(0.01)
listener.listen(8)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
os.write(int(os.environ.pop("AERODROME_NOTIFY_FD")), b"READY=1\\n")
while True:
    connection, _ = listener.accept()
    connection.sendall(b"%d" % os.getpid())
    connection.close()
"""


def interpreters(version: str) -> str:
    """The path of this Python, or a skipped test that says where it was looked for."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    candidate = str(found[-1]) if found else shutil.which(f"python{version}")
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        candidate = sys.executable
    if candidate is None:
        pytest.skip(f"no Python {version}: neither on PATH nor under ~/.pyenv/versions")
    if os.geteuid() == 0:
        # As the backend does for units with a uid of their own.
        accounts.open_way_to(Path(candidate))
        accounts.open_way_to(Path(candidate).resolve())
    return candidate


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """`wait_for` with this tier's limit; what it waits for goes by in a moment."""
    return wait_for(what, condition, limit=DEADLINE, longest_pause=0.02)


def ask(path: Path, **request: Any) -> dict[str, Any]:
    """One request over a connection of its own."""
    return exchange(path, json.dumps(request).encode() + b"\n")


def exchange(path: Path, data: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(DEADLINE)
        until(lambda: _connected(connection, path), "room in the queue of the listener")
        connection.sendall(data)
        with connection.makefile("rb") as lines:
            return json.loads(lines.readline())


def _connected(connection: socket.socket, path: Path) -> bool:
    """Whether it is connected now; a full queue refuses whoever would not wait without end."""
    try:
        connection.connect(str(path))
    except BlockingIOError:
        return False
    return True


def serves(path: Path) -> bool:
    try:
        return bool(ask(path, op="status")["ok"])
    except OSError:
        return False


def dead(pid: int) -> bool:
    found = kernel.process(pid)
    return found is None or found.state in kernel.DEAD


class Warm:
    """A warm process under some interpreter."""

    def __init__(
        self, folder: Path, python: str, modules: tuple[str, ...] = MODULES, more: tuple[str, ...] = ()
    ) -> None:
        self.socket = folder / "warm.sock"
        self.log = folder / "warm.log"
        self.modules = folder / "modules.txt"
        self.modules.write_text("\n".join(modules))
        self.command = [python, "-I", str(WARM), "--modules", str(self.modules), "--log", str(self.log)]
        self.command += more
        self.process = subprocess.Popen(
            [*self.command, "--socket", str(self.socket)],
            env=BASE_ENV,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> Warm:
        until(lambda: serves(self.socket) or self.process.poll() is not None, "a serving warm process")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def spawn(self, config: Path) -> dict[str, Any]:
        return ask(self.socket, op="spawn", config=str(config))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Cell:
    """One cell: its configuration, its scripts, and everything that must be dead afterwards."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self.folder = folder
        self.warm = warm
        self.config = folder / "cell.json"
        self.socket = folder / "cell.sock"
        self.state = folder / "cell.state.json"
        self.pid_file = folder / "cell.pid"
        self.log = folder / "cell.log"
        self.prelude: dict[str, Any] | None = None
        self.views: list[list[str]] = []
        self.linkless: list[str] = []
        self.group: cgroups.ControlGroup | None = None
        self.private: Path | None = None
        self.images: list[images.Image] = []
        self.writable: list[str] | None = None
        self.seen: set[int] = set()

    def unit(self, name: str, script: str = SLEEPER, **fields: Any) -> dict[str, Any]:
        """A unit specification whose script is `script`; `fields` replace the defaults."""
        path = self.folder / f"{name}.py"
        path.write_text(script)
        path.chmod(0o644)
        spec: dict[str, Any] = {
            "name": name,
            "how": "fork",
            "argv": [str(path)],
            "env": BASE_ENV,
            "cwd": str(self.folder),
            "umask": 0o077,
            "uid": None,
            "gid": None,
            "log": str(self.folder / f"{name}.log"),
            "ready": "notify" if script in (SLEEPER, NOTIFIER, LISTENER) else "started",
            "after": [],
            "stop": {"signal": "SIGTERM", "grace": 20},
        }
        spec.update(fields)
        return spec

    def write(self, *units: dict[str, Any]) -> Path:
        paths = {key: str(getattr(self, key)) for key in ("socket", "state", "pid_file", "log")}
        self.config.touch(mode=0o600)
        self.config.write_text(
            json.dumps(
                {
                    "environment": "tests",
                    "units": list(units),
                    "prelude": self.prelude,
                    "views": self.views,
                    "linkless": self.linkless,
                    "group": self.group and self.group._asdict(),
                    "private": self.private and str(self.private),
                    "hides": self.private is not None,
                    "images": images.documents(self.images),
                    "writable": self.writable,
                    **paths,
                }
            )
        )
        return self.config

    def start(self, *units: dict[str, Any]) -> int:
        """Starts the cell with these units; returns its process number."""
        answer = self.warm.spawn(self.write(*units))
        assert answer["ok"], answer
        self.seen.add(answer["pid"])
        return int(answer["pid"])

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = ask(self.socket, op=op, **fields)
        for unit in answer.get("units", []):
            if unit["pid"]:
                self.seen.add(unit["pid"])
        return answer

    def units(self) -> dict[str, dict[str, Any]]:
        return {unit["name"]: unit for unit in self.ask("status")["units"]}

    def state_of(self, name: str) -> str:
        return str(self.units()[name]["state"])

    def ready(self, name: str, besides: int | None = None) -> int:
        """Waits until the unit is ready in another process than `besides`; returns its process number."""

        def pid() -> int | None:
            unit = self.units()[name]
            return unit["pid"] if unit["state"] == "ready" and unit["pid"] != besides else None

        return int(until(pid, f"a ready {name}"))

    def text(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def shut_down(self, pid: int) -> None:
        assert self.ask("shutdown")["ok"]
        until(lambda: dead(pid), "the end of the cell")

    def clean(self) -> None:
        """Kills every process that the test left, cells first: those whose command or place names our folder."""
        for pid in self.seen:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        until(self._kill_left, "an end of all processes")

    def _kill_left(self) -> bool:
        left = [one for one in kernel.processes() if one.pid != os.getpid() and self._is_ours(one.pid)]
        for one in left:
            with contextlib.suppress(OSError):
                os.kill(one.pid, signal.SIGKILL)
        return not left

    def _is_ours(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            return str(self.folder).encode() in command or str(Path(f"/proc/{pid}/cwd").readlink()) == str(self.folder)
        except OSError:
            return False


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A short folder that other users may traverse: socket paths are short, and units may be of another user."""
    path = Path(tempfile.mkdtemp(prefix="cell-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def cells(version: str) -> Iterator[Cell]:
    """A cell (not yet started) with its warm process under this Python; all of it is gone afterwards."""
    with folder() as place:
        warm = Warm(place, interpreters(version))
        cell = Cell(place, warm)
        try:
            warm.wait()
            yield cell
        finally:
            warm.kill()
            cell.clean()
