"""What the walls cost: users of their own, namespaces, control groups and disk images, for a creation and for a task.

Who starts Aerodrome without root has none of them, and also no process that has imported Airflow in advance. So both
sides go without that: one as root, the other as nobody, by turns.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from benchmarks import chains
from benchmarks.ours import Installation
from benchmarks.table import Row

NOBODY = 65534
NAME = "walls"

CREATIONS = 7
CHAINS = 7
"""Of each side; the medians count."""

CREATION_BAR = 1.05
TASK_BAR = 5.0
"""Milliseconds."""


def walls(ours: Installation, console: Console) -> list[Row]:
    """A creation and a task with all walls, and without any."""
    if os.geteuid() != 0:
        raise RuntimeError("only root has walls to measure")
    with tempfile.TemporaryDirectory(prefix="aero-bench-") as folder:
        Path(folder).chmod(0o711)
        with (
            _Side(Path(folder) / "with", ours) as walled,
            _Side(Path(folder) / "without", ours, user=NOBODY) as bare,
        ):
            creations = _by_turns(walled.create, bare.create, CREATIONS)
            for side in (walled, bare):
                side.keep()
            runs = _by_turns(walled.chain, bare.chain, CHAINS)
    for what, found in {"creations": creations, "chains": runs}.items():
        for name, seconds in zip(("with", "without"), found, strict=True):
            console.print(f"  {what} {name}: " + ", ".join(f"{each:.2f}" for each in seconds))
    created, bare_created = map(statistics.median, creations)
    ran, bare_ran = (1000 * statistics.median(each) / chains.LENGTH for each in runs)
    return [
        Row(
            what="create → AVAILABLE, not imported in advance: with all walls / without any",
            ours=created,
            stock=bare_created,
            unit="s",
            bar=CREATION_BAR,
        ),
        Row(what="what the walls add to a task of a chain", ours=ran - bare_ran, stock=None, unit="ms", bar=TASK_BAR),
    ]


def _by_turns(first: Callable[[], float], second: Callable[[], float], times: int) -> tuple[list[float], list[float]]:
    """What both say, each that often; before that once for nothing."""
    first(), second()
    found = [(first(), second()) for _ in range(times)]
    return [one for one, _ in found], [other for _, other in found]


class _Side:
    """An installation in a process of its own, which has that user."""

    def __init__(self, folder: Path, ours: Installation, *, user: int | None = None) -> None:
        forking = multiprocessing.get_context("fork")
        self._connection, self._theirs = forking.Pipe()
        self._process = forking.Process(target=_serve, args=(self._theirs, folder, ours, user))

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self._ask("start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.send("end")
        self._process.join()

    def create(self) -> float:
        """Seconds of a creation; the environment is gone then."""
        return self._ask("create")

    def keep(self) -> None:
        """Make the environment that has the chain."""
        self._ask("keep")

    def chain(self) -> float:
        """Seconds of a run of the chain."""
        return self._ask("chain")

    def _ask(self, what: str) -> float:
        self._connection.send(what)
        answer = self._connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return float(answer)


def _serve(connection: Connection, folder: Path, ours: Installation, user: int | None) -> None:
    """Answers a `_Side`, as that user."""
    versions = folder / "versions"
    versions.mkdir(parents=True)
    folder.chmod(0o711)
    for installed in ours.settings.paths.versions.resolve().iterdir():
        if installed.is_dir():
            (versions / installed.name).symlink_to(installed)
    if user is not None:
        for path in (folder, versions):
            os.chown(path, user, user)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        os.environ["HOME"] = str(folder)
    assert connection.recv() == "start"
    try:
        console = Console(stderr=True, quiet=True)
        with Installation(folder, ours.version, console, versions=versions, primed="off") as own:
            own.put_dag("chain", chains.A_CHAIN.format(length=chains.LENGTH))
            deeds: dict[str, Callable[[], float]] = {
                "create": partial(_created, own),
                "keep": partial(own.create, NAME),
                "chain": lambda: chains.run(partial(own.rest, NAME)),
            }
            connection.send(0.0)
            while (what := connection.recv()) != "end":
                connection.send(deeds[what]())
    except Exception as error:  # noqa: BLE001 - who asked tells it
        connection.send(RuntimeError(f"{type(error).__name__}: {error}"))  # some errors cannot be sent


def _created(own: Installation) -> float:
    seconds = own.create(NAME)
    own.delete(NAME)
    return seconds
