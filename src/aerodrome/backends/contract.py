"""What a backend is: it says what it sees, and it takes one step at a time when told to.

Steps are small and safe to repeat; a backend never decides which comes next (controller/plan.py does).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from aerodrome.model.environment import Environment
from aerodrome.model.observed import Observed

Cancelled = Callable[[], bool]
"""Asked during long steps; true means: leave off, nothing half made."""


class Step(StrEnum):
    """What a backend can be told to do for one environment."""

    INSTALL = "INSTALL"
    """Install the Airflow version in the background; `Observed.installation` tells how far it is."""

    DATABASE = "DATABASE"
    """Clone the version's migrated template database, owned by the environment's own role."""

    FILES = "FILES"
    """Make folders and write the generated configuration."""

    CELL = "CELL"
    """Start the cell, which starts the units."""

    REPORT_LOST_TASKS = "REPORT_LOST_TASKS"
    """Tell Airflow that the tasks of dead workers died with them, so that it retries them now and not in minutes."""

    STOP_CELL = "STOP_CELL"
    """Stop every unit in order, and the cell."""

    END_LEFTOVERS = "END_LEFTOVERS"
    """Kill what a dead cell left running, and a cell that does not come to its end."""

    DROP_DATABASE = "DROP_DATABASE"
    REMOVE_FILES = "REMOVE_FILES"


class Backend(Protocol):
    """Where units live.

    Steps raise `RetryError` for what passes by itself and `BrokenError` for what a person must mend.
    """

    def observe(self, environment: Environment) -> Observed:
        """The facts of this moment; quick, and without any effect."""

    def act(self, environment: Environment, step: Step) -> None:
        """Take one step; taking it again when it is done already does nothing."""

    def tail(self, environment: Environment, unit: str) -> tuple[str, ...]:
        """The last lines that a unit printed; empty when there are none."""
