"""Queries of Insights from their start to the removal of their rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aerodrome.telemetry import queries
from aerodrome.telemetry.engine import StorePaths
from aerodrome.telemetry.insights.search import QueryOutcome
from aerodrome.telemetry.queries import InsightsQueries
from aerodrome.telemetry.refusals import TelemetryRefusedError


@dataclass
class Quick:
    """A store whose queries end when they are let."""

    place: StorePaths
    now: int = 0
    upkeep: list[Callable[[], None]] = field(default_factory=list)
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    running: set[Path] = field(default_factory=set)

    async def query(self, _question: Any, *, ticket: Path, target: Path) -> QueryOutcome:
        self.running.add(target)
        await self.ending.wait()
        self.running.discard(target)
        await asyncio.to_thread(target.write_text, '[["a", "1"]]\n')
        await asyncio.to_thread(ticket.unlink, missing_ok=True)
        return QueryOutcome(rows=1, size=13, matched=1, scanned=1, scanned_bytes=1)


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    place = StorePaths(tmp_path)
    place.temporary.mkdir()
    return Quick(place)


def started(found: InsightsQueries, caller: str = "me") -> str:
    with found.arriving(caller):
        return found.start(None, text="", caller=caller, groups=("g",))  # type: ignore[arg-type]


def test_one_query_of_each_caller_runs_and_so_many_of_all(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "QUERIERS", 2)

    async def run() -> None:
        found = InsightsQueries(quick)  # type: ignore[arg-type]
        callers = ["me", "me", "you", "they", "you"]
        made = [found.found(started(found, caller), caller=caller) for caller in callers]
        await asyncio.sleep(0)
        assert [query.status == "Running" for query in made] == [True, False, True, False, False]
        assert quick.running == {made[0].target, made[2].target}
        for number in (0, 2):
            found.stop(made[number].identifier, caller=callers[number])
        quick.ending.set()
        for query in made:
            assert query.task is not None
            await query.task
        assert [query.status for query in made] == ["Cancelled", "Complete", "Cancelled", "Complete", "Complete"]
        assert not found._turns

    asyncio.run(run())


def test_those_that_arrive_count_as_open(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_OPEN", 4)
    monkeypatch.setattr(queries, "MOST_OPEN_OF_ONE", 2)

    async def run() -> None:
        found = InsightsQueries(quick)  # type: ignore[arg-type]
        first = started(found)
        with found.arriving("me"):
            with pytest.raises(TelemetryRefusedError, match="Too many"):
                started(found)
            started(found, "you")
            started(found, "you")
            with pytest.raises(TelemetryRefusedError, match="Too many"):
                started(found, "they")
        started(found, "they")  # the other was none after all
        found.stop(first, caller="me")
        started(found)

    asyncio.run(run())


def test_a_query_that_is_stopped_while_it_ends_has_no_rows(quick: Quick) -> None:
    async def run() -> None:
        found = InsightsQueries(quick)  # type: ignore[arg-type]
        query = found.found(started(found), caller="me")
        await asyncio.sleep(0)
        assert query.status == "Running"
        quick.ending.set()  # the query has its answer soon, and is stopped before it can tell
        found.stop(query.identifier, caller="me")
        assert query.task is not None
        await query.task
        assert (query.status, query.outcome, query.target.exists()) == ("Cancelled", None, False)

    asyncio.run(run())


def test_rows_are_removed_in_time_without_another_query(quick: Quick, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        found = InsightsQueries(quick)  # type: ignore[arg-type]
        quick.ending.set()
        query = found.found(started(found), caller="me")
        assert query.task is not None
        await query.task
        (upkeep,) = quick.upkeep
        upkeep()
        assert found.rows(query, start=0, most=1).rows == ([["a", "1"]],)
        monkeypatch.setattr(queries, "KEPT_SECONDS", -1)
        upkeep()
        assert not query.target.exists()
        with pytest.raises(TelemetryRefusedError, match="no query"):
            found.rows(query, start=0, most=1)
        with pytest.raises(TelemetryRefusedError, match="no query"):
            found.found(query.identifier, caller="me")

    asyncio.run(run())
