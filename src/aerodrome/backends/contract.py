"""What a backend is: three parts that carry out orders (`model.orders`) and say what they see (`model.observed`).

The runtime is where units live. Databases and releases are the same for every runtime. A part is told what shall be,
in orders that are safe to repeat, and works out nothing that the controller knows: which change is under way, which
revision serves, how long anybody has patience. What a machine or a cluster needs besides (folders, processes that a
crash left) is its own business and shows nowhere here.

Every part raises `RetryError` for what passes by itself and `BrokenError` for what a person must mend.
docs/decisions/0025 maps each verb to objects of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aerodrome.model.observed import Cell, DatabaseSeen, ReleasesSeen, RuntimeSeen
from aerodrome.model.orders import DatabaseOrder, ReleaseOrder, RuntimeOrder
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant

COMMAND_TIMEOUT = 60.0
"""Seconds that a command may run; the clients of MWAA's CLI endpoint wait about as long."""

OUTPUT_LIMIT = 6 * 2**20
"""Bytes of both outputs of a command together; MWAA's quota for the answers of its REST API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended. A command that was stopped has a sentence about it at the end of `stderr`."""

    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    exit_code: int
    """As a shell has it: 128 and more for the number of a signal."""


class WebServer(Protocol):
    """The web server that an environment's requests go to now; equal for as long as that is the same one."""

    def connector(self, **options: Any) -> Any:
        """A new `aiohttp.BaseConnector` that reaches it and nothing else; `options` are that class's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """A cell as a person is shown it."""

    cell: Cell
    processes: Mapping[str, int | str] = field(default_factory=dict)
    """Where units run, by their names: a process id on a machine, a pod's name in a cluster. Others do not run."""


class Runtime(Protocol):
    """Where units live."""

    def look(self, tenant: Tenant, *, is_leaving: bool = False) -> RuntimeSeen:
        """The facts of this moment; quick, and without any effect.

        Of an environment that `is_leaving` it is enough to know what is there: nobody waits for a cell's answer.
        """

    def show(self, tenant: Tenant) -> tuple[ShownCell, Mapping[int, ShownCell]]:
        """The services' cell and those of revisions, for a person, who waits for an answer less long."""

    def carry_out(self, tenant: Tenant, order: RuntimeOrder) -> None:
        """Begin what makes it so; `look` tells when it is. Doing it again does nothing."""

    def web_server(self, tenant: Tenant) -> WebServer:
        """Where requests go; also while nobody listens there."""

    def run_command(
        self, tenant: Tenant, revision: int, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        """Run one command of Airflow's command line, as a revision's web server, and wait for its end.

        `argv` is without `airflow`. Several at once may run. Raises `RetryError` when the environment cannot take the
        command now.
        """

    def tail(self, tenant: Tenant, unit: str, revision: int | None = None) -> tuple[str, ...]:
        """The last lines that a unit of a revision (None: a service) printed; empty when there are none."""


class Databases(Protocol):
    """The metadata databases of environments, with their archives and snapshots."""

    def look(
        self, tenant: Tenant, *, revision: int, running: Deployed | None, is_used: bool, is_unsettled: bool
    ) -> DatabaseSeen:
        """The facts of this moment; quick, and without any effect.

        `revision` is the one whose long work and copies are of interest. A database that `is_used` by a living cell is
        there, which need not be looked up again and again. Where the environment `is_unsettled` (it is being made,
        undone or removed), copies are looked for; else, now and then, what its code has changed of its database, and
        what of that keeps `running` from working with it.

        Raises:
            AerodromeError: the long work has failed; once, so that it can be begun again.
        """

    def carry_out(self, tenant: Tenant, order: DatabaseOrder) -> None:
        """Do it, or begin it where the order is one of `orders.LONG`."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot of the environment of that identifier: its database and its archive."""


class Releases(Protocol):
    """Installed Airflow versions and the releases that are built on them."""

    def look(self, tenant: Tenant, *, revision: int, version: str, lock: str, running: Deployed | None) -> ReleasesSeen:
        """The facts of this moment; quick, and without any effect.

        `version`, as it was asked for, by `lock` (empty: the present one) is what must be installed, `revision` the one
        whose long work is of interest, `running` the release whose files are needed.

        Raises:
            AerodromeError: the long work has failed; once, so that it can be begun again.
        """

    def carry_out(self, tenant: Tenant, order: ReleaseOrder) -> None:
        """Begin it; `look` tells how far it is."""

    def collect(self, used: Collection[str], versions: Collection[tuple[str, str]], now: datetime) -> None:
        """Remove built releases and installed versions that nobody has used for long.

        `used` are the contents of releases that are in use; `versions` the versions, each with its lock's SHA-256
        (empty: the present lock). What runs is in use besides.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The three parts together."""

    runtime: Runtime
    databases: Databases
    releases: Releases
