"""What a backend is: three parts that carry out orders (`model.orders`) and say what they see (`model.observed`).

The runtime is where units live. Databases and releases are the same for every runtime. An order tells a part what shall
be, and giving it again changes nothing. A part never works out what the controller knows: which change is under way,
which revision serves, how long to be patient. A part keeps its machine's or cluster's own chores to itself (folders,
processes that a crash left); this contract shows none of them.

Every part raises `RetryError` for trouble that passes by itself, and `BrokenError` for trouble that a person must mend.
docs/decisions/0025 maps each verb to objects of Kubernetes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aerodrome.model.observed import Ahead, Cell, DatabaseSeen, ReleasesSeen, RuntimeSeen, WebLoad
from aerodrome.model.orders import DatabaseOrder, ReleaseOrder, RuntimeOrder
from aerodrome.model.release import Deployed
from aerodrome.model.tenant import Tenant

COMMAND_TIMEOUT = 60.0
"""Seconds that a command may run; clients of MWAA's CLI endpoint wait about as long."""

OUTPUT_LIMIT = 6 * 2**20
"""Bytes that both outputs of a command may have together; MWAA's quota for answers of its REST API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """How a command ended. If it was stopped, a sentence at the end of `stderr` says so."""

    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    exit_code: int
    """As in a shell: for a command that a signal ended, 128 and the signal's number."""


class WebServer(Protocol):
    """The web server that gets an environment's requests now; two values are equal if they mean the same web server."""

    def connector(self, **options: Any) -> Any:
        """A new `aiohttp.BaseConnector` that reaches this web server and nothing else; `options` are that class's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCell:
    """A cell as a person sees it."""

    cell: Cell
    processes: Mapping[str, int | str] = field(default_factory=dict)
    """A unit's name → its process id on a machine, or its pod's name in a cluster. Units without a row do not run."""


class Runtime(Protocol):
    """Where units live."""

    def look(self, tenant: Tenant, *, is_leaving: bool = False) -> RuntimeSeen:
        """The facts of this moment; quick, and without any effect.

        For an environment that `is_leaving` it is enough to know what exists: a cell's answer is not waited for.
        """

    def show(self, tenant: Tenant) -> tuple[ShownCell, Mapping[int, ShownCell]]:
        """The services' cell and the revisions' cells, for a person, who waits a shorter time for an answer."""

    def carry_out(self, tenant: Tenant, order: RuntimeOrder) -> None:
        """Begin to carry the order out; `look` tells when it is done. To repeat it does nothing."""

    def waiting(self, tenant: Tenant) -> int | None:
        """How many messages of its queue no worker has taken, quick enough to ask all the time; None = no answer."""

    def web_server(self, tenant: Tenant) -> WebServer:
        """Where requests go, even while nobody listens there."""

    def web_load(self, tenant: Tenant, revision: int) -> WebLoad | None:
        """What the web servers of a revision have to do, if requests go to them; None = nobody can tell now."""

    def run_command(
        self, tenant: Tenant, revision: int, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        """Run one command of Airflow's command line, as a revision's web server, and wait for its end.

        `argv` is without `airflow`. Several commands may run at once. Raises `RetryError` when the environment cannot
        run the command now.
        """

    def tail(self, tenant: Tenant, unit: str, revision: int | None = None) -> tuple[str, ...]:
        """The last lines that a unit of a revision (None = a service) printed; empty when it printed nothing."""


class Databases(Protocol):
    """The metadata databases of environments, with their archives and snapshots.

    Each method may raise `services.clusters.ServerAwayError`: the server does not answer, and is asked again.
    """

    def look(
        self,
        tenant: Tenant,
        *,
        revision: int,
        running: Deployed | None,
        is_used: bool,
        is_unsettled: bool,
        messages: int | None = 0,
    ) -> DatabaseSeen:
        """The facts of this moment; quick, and without any effect.

        The long work and the copies of `revision` are told. If a living cell uses the database (`is_used`), it exists,
        so nobody looks it up again. If the environment `is_unsettled` (it is being made, undone or removed), copies are
        looked for. Otherwise a look into the database tells now and then what the environment's code has changed there,
        and what of that keeps `running` from working. Its tasks are counted at most once a second while its queue has
        `messages` (None: it does not say), more often while it has more each time, and else every few seconds.

        Raises:
            AerodromeError: the long work has failed. Only one look raises it, so that the work can begin again.
        """

    def ahead(self, tenant: Tenant, *, version: str, since: datetime) -> Ahead:
        """What needs units of that Airflow version, now or later; runs that were due before `since` do not count.

        Raises `RetryError` while the database cannot be asked.
        """

    def carry_out(self, tenant: Tenant, order: DatabaseOrder) -> None:
        """Carry the order out, or begin to if it is one of `orders.LongOrder`."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot: its database and its archive; `identifier` is its environment's."""


class Releases(Protocol):
    """Installed Airflow versions and the releases that are built on them."""

    def look(self, tenant: Tenant, *, revision: int, version: str, lock: str, running: Deployed | None) -> ReleasesSeen:
        """The facts of this moment; quick, and without any effect.

        `version` (as it was asked for) must be installed by `lock` (empty = the present lock). The long work of
        `revision` is told. `running` is the release whose files are needed.

        Raises:
            AerodromeError: the long work has failed. Only one look raises it, so that the work can begin again.
        """

    def carry_out(self, tenant: Tenant, order: ReleaseOrder) -> None:
        """Begin to carry the order out; `look` tells how far it has come."""

    def collect(self, used: Collection[str], versions: Collection[tuple[str, str]], now: datetime) -> None:
        """Remove built releases and installed versions that nobody has used for a long time.

        `used` are the contents of releases in use; `versions` are the versions in use, each with its lock's SHA-256
        (empty = the present lock). What runs is in use as well.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The three parts together."""

    runtime: Runtime
    databases: Databases
    releases: Releases
