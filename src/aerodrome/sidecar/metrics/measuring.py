"""What MWAA measures of an environment from outside, in the namespace AWS/MWAA: containers, queue, database.

Containers are control groups here: the processes of each unit, and their memory. A share of the processor is of all
processors of this machine, a share of memory is of what the unit may have. Queue and database are asked by SQL, once a
minute. What cannot be measured is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from aerodrome.sidecar.config import DatabaseConfig, MeasuredConfig
from aerodrome.sidecar.metrics.aggregation import MINUTE, Measured

NAMESPACE = "AWS/MWAA"

PERCENT, COUNT, SECONDS, BYTES = "Percent", "Count", "Seconds", "Bytes"

SCHEDULER, BASE_WORKER, ADDITIONAL_WORKER, WEB_SERVER = "Scheduler", "BaseWorker", "AdditionalWorker", "WebServer"

COMPONENTS = {
    "scheduler": SCHEDULER,
    "dag-processor": SCHEDULER,
    "triggerer": SCHEDULER,
    "web": WEB_SERVER,
    "execution": WEB_SERVER,
    "worker": BASE_WORKER,
}
"""The units' names without numbers → MWAA's containers, on which several of them run."""

METRICS = (
    ("CPUUtilization", "Cluster", PERCENT),
    ("MemoryUtilization", "Cluster", PERCENT),
    ("QueuedTasks", "Queue", COUNT),
    ("RunningTasks", "Queue", COUNT),
    ("ApproximateAgeOfOldestTask", "Queue", SECONDS),
    ("DatabaseConnections", "Database", COUNT),
    ("CPUUtilization", "Database", PERCENT),
    ("FreeableMemory", "Database", BYTES),
)
"""All that is measured: name, dimension beside Environment, unit."""

OF_DATABASE = (("Database", "WRITER"),)

SOON = 5
"""Seconds from the first look to the second, where no minute begins between them."""

UNBOUNDED = 2**62
"""Bytes; version 1 of control groups says "no limit" by a number near 2^63."""

TIMEOUT = 2
"""Seconds for the database to answer."""

CONNECTIONS = "SELECT numbackends::float8 FROM pg_stat_database WHERE datname = current_database()"

log = structlog.get_logger("sidecar.metrics")


@dataclass(frozen=True, slots=True)
class UnitUsage:
    """What a unit uses."""

    component: str
    number: int
    """Which of several."""
    processor: float
    """Seconds of processors since its processes began."""
    memory: float
    """Percent of what it may have."""


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """What the machine of the database has."""

    busy: float
    total: float
    """Ticks of all processors, and how many of them something ran."""
    available: float
    """Bytes of memory that could be had."""


Asked = Callable[[], tuple[float, float, float, float] | None]
"""Queued and running tasks, seconds that the oldest is queued, and connections; None = no answer."""


class Measuring:
    """Measures once a minute. Shares of the processor need two looks: the second comes soon after the first."""

    def __init__(
        self,
        usage: Callable[[], dict[str, UnitUsage]],
        asked: Asked,
        *,
        processors: int,
        machine: Callable[[], MachineUsage | None] = lambda: None,
    ) -> None:
        """`machine` tells of the database's, where that is this one."""
        self._usage = usage
        self._asked = asked
        self._machine = machine
        self._machine_before: MachineUsage | None = None
        self._processors = processors
        self._before: dict[str, UnitUsage] = {}
        self._then: float | None = None
        self._has_shares = False

    def __call__(self, now: float) -> list[Measured]:
        """What is measured at this time; empty when it is too early."""
        then, is_new_minute = self._then, self._then is None or now // MINUTE != self._then // MINUTE
        if not is_new_minute and (self._has_shares or now - (then or 0.0) < SOON):
            return []
        minute = int(now // MINUTE) * MINUTE
        found: list[Measured] = []
        usage, machine = self._usage(), self._machine()
        if then is not None and now > then:
            found += _containers(usage, self._before, (now - then) * self._processors, minute)
            self._has_shares = bool(found)
            found += _machine_share(machine, self._machine_before, minute)
        self._before, self._machine_before, self._then = usage, machine, now
        if is_new_minute:
            found += _free_memory(machine, minute)
            asked = self._asked()
            found += [] if asked is None else _of_database(asked, minute)
        return found


def _containers(
    usage: dict[str, UnitUsage], before: dict[str, UnitUsage], available: float, minute: int
) -> Iterator[Measured]:
    """One sample for each worker; of what runs on one machine at MWAA, the sum. A unit that began since began at 0."""
    workers = sorted(each.number for each in usage.values() if each.component == BASE_WORKER)
    sums: dict[tuple[str, int], tuple[float, float]] = {}
    for key, each in usage.items():
        is_worker = each.component == BASE_WORKER
        component = ADDITIONAL_WORKER if is_worker and each.number != workers[0] else each.component
        place = component, each.number if is_worker else 0
        processor, memory = sums.get(place, (0.0, 0.0))
        used = each.processor - (before[key].processor if key in before else 0.0)
        share = max(0.0, used) / available * 100
        sums[place] = processor + share, max(memory, each.memory)
    for name in ("CPUUtilization", "MemoryUtilization"):
        samples: dict[str, dict[float, float]] = {}
        for (component, _), shares in sums.items():
            value = round(shares[name == "MemoryUtilization"], 3)
            values = samples.setdefault(component, {})
            values[value] = values.get(value, 0.0) + 1
        for component, values in samples.items():
            yield Measured(name, (("Cluster", component),), PERCENT, minute, values, NAMESPACE)


def _of_database(asked: tuple[float, float, float, float], minute: int) -> Iterator[Measured]:
    queued, running, age, connections = asked
    queue = (("Queue", "default"),)
    for name, dimensions, unit, value in (
        ("QueuedTasks", queue, COUNT, queued),
        ("RunningTasks", queue, COUNT, running),
        ("ApproximateAgeOfOldestTask", queue, SECONDS, age),
        ("DatabaseConnections", OF_DATABASE, COUNT, connections),
    ):
        yield Measured(name, dimensions, unit, minute, {max(value, 0.0): 1.0}, NAMESPACE)


def _free_memory(machine: MachineUsage | None, minute: int) -> Iterator[Measured]:
    if machine is not None:
        yield Measured("FreeableMemory", OF_DATABASE, BYTES, minute, {machine.available: 1.0}, NAMESPACE)


def _machine_share(machine: MachineUsage | None, before: MachineUsage | None, minute: int) -> Iterator[Measured]:
    if machine is not None and before is not None and machine.total > before.total:
        share = (machine.busy - before.busy) / (machine.total - before.total) * 100
        yield Measured("CPUUtilization", OF_DATABASE, PERCENT, minute, {round(max(share, 0.0), 3): 1.0}, NAMESPACE)


def machine(database: DatabaseConfig | None) -> MachineUsage | None:
    """This machine's, if the database is here: it has a socket then; None = it is elsewhere, or nobody can tell."""
    if database is None or not database.host.startswith("/"):
        return None
    try:
        ticks = list(map(int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]))
        lines = Path("/proc/meminfo").read_text().splitlines()
        available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return None
    idle = sum(ticks[3:5])  # waiting for the disk is idle, too
    return MachineUsage(float(sum(ticks) - idle), float(sum(ticks)), float(available))


def usage(memory: Path | None) -> dict[str, UnitUsage]:
    """What the units below an environment's control group use, by their cells and names."""
    found = {}
    for place in _units(memory):
        name, _, number = place.name.rpartition("-") if place.name[-1:].isdigit() else (place.name, "", "1")
        if name in COMPONENTS:
            key = f"{place.parent.name}/{place.name}"
            found[key] = UnitUsage(COMPONENTS[name], int(number), _processor(place), _memory(place))
    return found


def _units(memory: Path | None) -> Iterable[Path]:
    return () if memory is None else sorted(memory.glob("*/*/"))


def _processor(place: Path) -> float:
    """Seconds of all processes in the group, with those of children that have ended."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (place / "cpu.stat").read_text().splitlines()  # version 2
        return int(next(line for line in lines if line.startswith("usage_usec")).split()[1]) / 1e6
    total = 0
    with suppress(OSError):
        for pid in (place / "cgroup.procs").read_text().split():
            with suppress(OSError, ValueError, IndexError):
                total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def _memory(place: Path) -> float:
    """Percent of the limit, without files that the kernel would give up at once."""
    for used, bound, idle in (
        ("memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file "),
        ("memory.current", "memory.max", "inactive_file "),
    ):
        with suppress(OSError, ValueError):
            limit = (place / bound).read_text().strip()
            total = int(limit) if limit != "max" and int(limit) < UNBOUNDED else _machine()
            lines = (place / "memory.stat").read_text().splitlines()
            spare = sum(int(line.split()[1]) for line in lines if line.startswith(idle))
            return max(0, int((place / used).read_text()) - spare) / total * 100
    return 0.0


def _machine() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def asks(config: MeasuredConfig, database: DatabaseConfig | None) -> Asked:
    """Asks the environment's database, over a connection that is opened for it."""

    def asked() -> tuple[float, float, float, float] | None:
        if database is None:
            return None
        import psycopg  # noqa: PLC0415 - 7 MB, after everything that has to be quick

        try:
            with psycopg.connect(
                host=database.host,
                port=database.port,
                dbname=database.dbname,
                user=database.user,
                password=database.password,
                connect_timeout=TIMEOUT,
                options=f"-c statement_timeout={TIMEOUT}s -c default_transaction_read_only=on",
                **dict(database.options),  # type: ignore[arg-type] # libpq's own names
            ) as connection:
                load = connection.execute(config.queue_sql.encode()).fetchone()
                connections = connection.execute(CONNECTIONS).fetchone()
        except psycopg.Error as error:
            log.info("the database cannot be measured", error=str(error).strip()[:300])
            return None
        if load is None or connections is None:
            return None
        try:
            queued, running, age = map(float, load)
            return queued, running, age, float(connections[0])
        except (TypeError, ValueError):  # DAG code may have put something else in the table's place
            return None

    return asked
