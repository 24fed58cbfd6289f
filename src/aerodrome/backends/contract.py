"""What a backend is: it says what it sees, and it takes one step at a time when told to.

Steps are small and safe to repeat; a backend never decides which comes next (controller/plan.py does).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from aerodrome.model.environment import Environment
from aerodrome.model.observed import Observed


class Step(StrEnum):
    """What a backend can be told to do for one environment; `OF_A_CELL` are told the revision that it runs, too."""

    INSTALL = "INSTALL"
    """Install the Airflow version in the background; `Observed.installation` tells how far it is."""

    FILES = "FILES"
    """Make folders."""

    SERVICES = "SERVICES"
    """Start the cell that keeps Redis and the sidecar."""

    RELEASE = "RELEASE"
    """Build the change's release and try the DAGs on it, in the background: see `Observed.work`."""

    REBUILD = "REBUILD"
    """Build the release that the environment runs again, for its folder is gone, in the background: see
    `Observed.work`."""

    DATABASE = "DATABASE"
    """Clone the version's migrated template database, owned by the environment's own role."""

    MEND_DATABASE = "MEND_DATABASE"
    """Set anew what the environment needs of its database and its role, whose owner its code is."""

    SEED = "SEED"
    """Make the database from the change's seed instead, in the background; it is there when it is whole."""

    CELL = "CELL"
    """Write the configuration of a revision and start its cell, which starts Airflow's units."""

    QUIET = "QUIET"
    """Stop the units of a cell that must not run in two revisions at once."""

    RESUME = "RESUME"
    """Start all units of a cell again, whichever of them were stopped on purpose."""

    SWITCH = "SWITCH"
    """Let requests, and what the services do, go to a revision."""

    DRAIN = "DRAIN"
    """Stop the units of a cell, but for what running tasks need; its workers end with their tasks."""

    REVIVE = "REVIVE"
    """Start a cell that died while it was draining; it goes on with what it left."""

    STOP_CELL = "STOP_CELL"
    """Stop every unit of a cell in order, and the cell."""

    END_LEFTOVERS = "END_LEFTOVERS"
    """Kill what a dead cell left running, and a cell that does not come to its end."""

    END_CELL = "END_CELL"
    """Kill a cell that does not answer, and nothing that it keeps: the next one adopts that. None = the services'."""

    RETIRE = "RETIRE"
    """Remove the files of a revision's cell, which is gone."""

    REPORT_LOST_TASKS = "REPORT_LOST_TASKS"
    """Tell Airflow that the tasks of dead workers died with them, so that it retries them now and not in minutes."""

    ARCHIVE = "ARCHIVE"
    """Dump the database into an archive, in the background."""

    REHEARSE = "REHEARSE"
    """Migrate a copy of the database and try the DAGs on it, in the background."""

    MIGRATE = "MIGRATE"
    """Make the database that is to come, from the one that is or from the seed, in the background; nobody is in it."""

    SWAP = "SWAP"
    """Put the database that is to come in the place of the one that was, which becomes the change's snapshot."""

    UNSWAP = "UNSWAP"
    """Put the database that was back in its place, and remove every copy that the change made."""

    STOP_SERVICES = "STOP_SERVICES"
    """Stop Redis, the sidecar and their cell."""

    END_ALL = "END_ALL"
    """Kill every process of the environment."""

    DROP_DATABASE = "DROP_DATABASE"
    """Remove the database, its copies and snapshots, and their role."""

    REMOVE_FILES = "REMOVE_FILES"


OF_A_CELL = frozenset({
    Step.CELL, Step.QUIET, Step.RESUME, Step.SWITCH, Step.DRAIN, Step.REVIVE, Step.STOP_CELL, Step.END_LEFTOVERS,
    Step.RETIRE,
})  # fmt: skip
"""Steps that need a revision."""

LONG = frozenset({Step.RELEASE, Step.REBUILD, Step.SEED, Step.ARCHIVE, Step.REHEARSE, Step.MIGRATE})
"""Steps that are taken in the background: `Observed.work` tells how far the last of them is."""


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


class Backend(Protocol):
    """Where units live.

    Steps raise `RetryError` for what passes by itself and `BrokenError` for what a person must mend.
    """

    def observe(self, environment: Environment) -> Observed:
        """The facts of this moment; quick, and without any effect."""

    def act(self, environment: Environment, step: Step, revision: int | None = None) -> None:
        """Take one step; taking it again when it is done already does nothing. `revision` says whose, `OF_A_CELL`."""

    def run_command(
        self, environment: Environment, argv: Sequence[str], *, timeout: float = COMMAND_TIMEOUT
    ) -> CommandResult:
        """Run one command of Airflow's command line (`argv` without `airflow`), as the web server; waits for its end.

        Several at once may run. Raises `RetryError` when the environment cannot take the command now.
        """

    def tail(self, environment: Environment, unit: str, revision: int | None = None) -> tuple[str, ...]:
        """The last lines that a unit of a revision (None: a service) printed; empty when there are none."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot of the environment of that identifier: its database and its archive."""

    def collect_releases(self, used: Collection[str], now: datetime) -> None:
        """Remove built releases that nobody has used for long; `used` are the contents that are in use."""

    def collect_versions(self, used: Collection[tuple[str, str]], now: datetime) -> None:
        """Remove installed Airflow versions that nobody has used for long, with what belongs to each.

        `used` are the versions that the ledger knows to be in use, each with its lock's SHA-256; empty = the present
        lock. What runs is in use besides.
        """
