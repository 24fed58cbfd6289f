"""What an environment and each of its units may have of a machine, by the environment class. Pure.

A class names MWAA's machines, and this one may be smaller. So its memory is clipped: no unit, no environment and not
all environments together take what the control plane, PostgreSQL and the neighbours need to go on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aerodrome.model.classes import EnvironmentClass

GIB = 2**30

WEB_SERVERS = frozenset({"web", "execution"})
"""The units that MWAA has on machines for web servers; `web-2` is one, too."""

BASE_PROCESSES = 256
"""Processes and threads of a unit before it runs a task; MWAA names no limit, and Airflow's own need some forty."""

PROCESSES_OF_A_TASK = 64
"""Processes and threads more for each task that runs at once: a Java program has that many. Arbitrary."""

SERVICE_PROCESSES = 256
"""Of an environment's Redis, sidecar and cells together."""

SERVICE_MEMORY = GIB
"""Bytes for the same."""

EMULATOR_PROCESSES = 1024
"""Processes and threads of the embedded AWS emulator. It starts no process and has some fifty threads; for each query
a library begins with one for each processor."""

EMULATOR_MEMORY = 4 * GIB
"""Bytes for the same; the kernel gives up pages of its files first."""

EMULATOR_WEIGHT = 200
"""It works for all environments, with two threads at a time."""

LEAST_RESERVE = GIB
"""Bytes that no environment gets: for the control plane, PostgreSQL, the embedded AWS services."""

RESERVED = 8
"""One part in so many of the machine's memory is the reserve, where that is more."""

USUAL_WEIGHT = 100

LIGHTER = 10
"""An environment that would keep several machines busy has one part in so many of its weight."""

DISK_RESERVE = 2 * GIB
"""Bytes of a disk that stay free of what environments write, for PostgreSQL and the ledger; of a small one a tenth."""

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """Who sees to the limits on a machine."""

    version: int | None
    """Of the control groups; None = there are none."""

    kinds: frozenset[str] = frozenset()
    """What these limit: `pids`, `memory`, `cpu`."""

    reason: str = ""
    """Why there are no groups."""

    has_users: bool = False
    """Whether environments run under users of their own, whose processes can be counted."""

    machine: int
    """Bytes of memory of the machine, or of as much of it as we may have."""

    processors: int
    """Of the machine."""

    disk_trouble: str = ""
    """Why what code writes is not limited; empty = it is, by disk images."""

    @property
    def processes(self) -> str:
        """Of what the number of processes is limited: `unit`, `user`, or empty: of nothing."""
        if "pids" in self.kinds:
            return "unit"
        return "user" if self.has_users else ""

    @property
    def memory(self) -> str:
        """Of what memory is limited: `unit` or `process`."""
        return "unit" if "memory" in self.kinds else "process"

    @property
    def processor(self) -> str:
        """Of what the part of the processors is weighed: `environment`, or empty: of nothing."""
        return "environment" if "cpu" in self.kinds else ""

    @property
    def is_whole(self) -> bool:
        """Whether all that control groups limit is limited."""
        return bool(self.processes == self.memory == "unit" and self.processor)

    @property
    def sentence(self) -> str:
        """What is enforced, and what is not."""
        by = f"control groups (version {self.version})" if self.version else f"no control groups ({self.reason})"
        named = {
            "processes": self.processes,
            "memory": self.memory,
            "CPU time": "unit" if self.processor else "",
            "CPU weight": self.processor,
        }
        held = ", ".join(f"{what} of each {whose}" for what, whose in named.items() if whose)
        free = ", ".join(what for what, whose in named.items() if not whose)
        return f"{by}: {held}" + (f"; not limited: {free}" if free else "")

    @property
    def disk_sentence(self) -> str:
        """What is enforced of what code of environments writes, and what is not."""
        if not self.disk_trouble:
            return "disk images: temporary files and logs of each environment; a reserve that they leave free"
        return (
            f"no disk images ({self.disk_trouble}): the size of each file, and the oldest task logs go; not limited: "
            "temporary files of each environment"
        )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be had."""

    processes: int
    """Processes and threads."""

    memory: int
    """Bytes."""


def for_environments(machine: int) -> int:
    """Bytes of memory for all environments together, of a machine with so many."""
    return max(machine - max(LEAST_RESERVE, machine // RESERVED), machine // 2)


def of_emulator(machine: int) -> Allowance:
    """What the embedded AWS emulator may have, of a machine with so many bytes of memory."""
    return Allowance(EMULATOR_PROCESSES, min(EMULATOR_MEMORY, machine // 2))


def of_unit(found: EnvironmentClass, name: str, machine: int) -> Allowance:
    """What a unit may have, by its name, where the machine has so many bytes of memory.

    That is at most half of what all environments may have.
    """
    wanted = found.webserver_memory_gib if _is_web_server(name) else found.worker_memory_gib
    return Allowance(_processes(found), min(wanted * GIB, for_environments(machine) // 2))


def processors_of_unit(found: EnvironmentClass, name: str, processors: int) -> int:
    """As much time as so many processors have, which a unit may have, by its name, where the machine has `processors`.

    That is at most half of them, so that neighbours find one that it does not compete for; and at least one.
    """
    wanted = found.webserver_vcpu if _is_web_server(name) else found.worker_vcpu
    return max(1, min(wanted, processors // 2))


def of_environment(cells: Iterable[tuple[EnvironmentClass, int]], machine: int) -> Allowance:
    """What an environment may have whose cells have these classes and numbers of workers.

    As on MWAA that is for each cell a machine for each worker, one for schedulers and one for web servers; at most
    three quarters of what all environments may have.
    """
    processes, memory = SERVICE_PROCESSES, SERVICE_MEMORY
    for found, workers in cells:
        processes += (workers + 2) * _processes(found)
        memory += ((workers + 1) * found.worker_memory_gib + found.webserver_memory_gib) * GIB
    return Allowance(processes, min(memory, for_environments(machine) * 3 // 4))


def temporary_files(wanted: int, disk: int) -> int:
    """Bytes that the code of an environment may write to temporary files, of a disk with so many: at most a quarter."""
    return _whole(min(wanted, disk // 4))


def task_logs(wanted: int, disk: int) -> int:
    """Bytes that an environment's task logs may have on such a disk: at most a sixteenth."""
    return _whole(min(wanted, disk // 16))


def metadata_database(wanted: int, disk: int) -> int:
    """Bytes that an environment's metadata database should have on such a disk: at most an eighth."""
    return _whole(min(wanted, disk // 8))


def disk_reserve(disk: int) -> int:
    """Bytes of such a disk that stay for the control plane, PostgreSQL and the embedded AWS services."""
    return min(DISK_RESERVE, disk // 10)


def _whole(size: int) -> int:
    return max(16 * MIB, size // MIB * MIB)


def weight(found: EnvironmentClass) -> int:
    """The environment's part of the processors where they are short: as many hundredths as its class has."""
    return USUAL_WEIGHT * found.worker_vcpu


def _is_web_server(unit: str) -> bool:
    return unit.partition("-")[0] in WEB_SERVERS


def _processes(found: EnvironmentClass) -> int:
    return BASE_PROCESSES + PROCESSES_OF_A_TASK * found.tasks_per_worker
