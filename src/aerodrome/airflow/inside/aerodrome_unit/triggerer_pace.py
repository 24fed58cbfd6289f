"""An idle triggerer asks once a round whether there is any trigger, and looks no further while there is none.

Airflow's looks through triggers, tasks and jobs once a second or more often, with six statements. They find nothing
where the table of triggers is empty. The short question comes as often as they did, so no trigger waits longer.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

QUESTION = 'SELECT EXISTS (SELECT 1 FROM "trigger")'


def look_only_if_there_are_any(trigger: Any, is_any: Callable[[], bool] | None = None) -> None:
    """Have the class `trigger` (Airflow's `Trigger`) look through its tables only when it has rows."""
    rounds = _Rounds(trigger, is_any or _is_any)
    trigger.assign_unassigned = rounds.assign_unassigned
    trigger.ids_for_triggerer = rounds.ids_for_triggerer
    trigger.clean_unused = rounds.clean_unused


class _Rounds:
    """What Airflow does in each round: it assigns triggers, reads which are its own, and removes unused ones."""

    def __init__(self, trigger: Any, is_any: Callable[[], bool]) -> None:
        self._is_any = is_any
        self._assign = trigger.assign_unassigned
        self._ids = trigger.ids_for_triggerer
        self._clean = trigger.clean_unused
        self._were_any = True
        """At the last question; what has come since is seen in the next round, as by Airflow itself."""

    def assign_unassigned(self, *arguments: Any, **named: Any) -> None:
        self._were_any = self._is_any()
        if self._were_any:
            self._assign(*arguments, **named)

    def ids_for_triggerer(self, *arguments: Any, **named: Any) -> Any:
        return self._ids(*arguments, **named) if self._were_any else []

    def clean_unused(self) -> None:
        if self._were_any:
            self._clean()


def _is_any() -> bool:
    from airflow import settings
    from sqlalchemy import text

    engine: Any = settings.engine
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return bool(connection.execute(text(QUESTION)).scalar())
