"""Tasks are counted as often as there is something to count, and seldom where a count takes long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from aerodrome.airflow import versions
from aerodrome.backends.databases import counting
from aerodrome.backends.databases.counting import BUSY_EVERY, GROWN_EVERY, IDLE_EVERY, REST, TaskCounts
from aerodrome.model.observed import TasksSeen

NOTHING: list[tuple[Any, ...]] = []
SOME = [("", True, 12, 2), ("worker-1.3", False, 5, 0), ("worker-1.2", False, 1, 0), ("10.0.0.5", False, 7, 0)]


class Database:
    """One that answers, after a while, or fails; and the clock."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] | None = NOTHING
        self.takes = 0.0
        self.now = 100.0
        self.asked = 0
        self.counts = TaskCounts()

    def execute(self, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        self.now += self.takes
        if self.rows is None:
            raise psycopg.OperationalError("away")
        return self.rows

    def look(self, seconds: float, *, messages: int | None) -> TasksSeen | None:
        self.now += seconds
        version = versions.lookup("3.3.1")
        return self.counts.of("one", None, "env_one", "password", version, messages=messages)  # type: ignore[arg-type]

    def asked_in(self, seconds: float, *, messages: int | None) -> int:
        """How often it is asked in so many seconds, with a look in each."""
        before = self.asked
        for _ in range(int(seconds)):
            self.look(1.0, messages=messages)
        return self.asked - before


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    made = Database()
    monkeypatch.setattr(counting.metadata, "execute", made.execute)
    monkeypatch.setattr(counting, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_queued_and_running_tasks_of_workers_are_counted(database):
    database.rows = SOME
    assert database.look(0, messages=3) == TasksSeen(
        queued=12, overdue=2, running={(3, "worker-1"): 5, (2, "worker-1"): 1}
    )
    database.rows = [("", True, 10**18, 10**18)]
    found = database.look(1, messages=3)
    assert found is not None
    assert found.queued == found.overdue == counting.LIMIT


def test_an_idle_environment_is_asked_seldom_and_a_busy_one_every_second(database):
    assert BUSY_EVERY < 1 < IDLE_EVERY
    assert database.asked_in(20, messages=0) == 4
    assert database.asked_in(20, messages=3) == 20
    database.rows = SOME  # its queue may be empty: acknowledged early, or taken by then
    assert database.asked_in(20, messages=0) >= 15


def test_a_queue_that_grows_is_counted_at_once_and_one_that_does_not_is_not(database):
    database.look(1, messages=0)
    for messages, is_asked in ((5, 1), (5, 0), (9, 1), (7, 0), (None, 0)):
        before = database.asked
        database.look(GROWN_EVERY, messages=messages)
        assert database.asked - before == is_asked, messages


@pytest.mark.parametrize("is_away", [True, False])
def test_one_that_is_slow_rests_in_proportion_whether_it_answers_or_fails(database, is_away):
    if is_away:
        database.rows = None
    database.takes = 1.0
    found = database.look(1, messages=3)
    assert (found is None) == is_away
    assert database.asked_in(REST - 1, messages=3) == 0
    again = database.look(0, messages=3)
    assert (again and again.counted_at) == (found and found.counted_at)  # who gets an old count can tell
    database.rows, database.takes = SOME, 0.1
    assert database.asked_in(2, messages=3) >= 1
    assert database.look(1, messages=3) is not None  # a busy machine: workers go on following
    assert database.asked_in(10, messages=3) >= 8
    database.counts.forget("one")
    assert database.look(0, messages=3) is not None


def test_one_that_refuses_at_once_is_asked_again_soon(database):
    database.rows = None
    assert database.look(1, messages=3) is None
    database.rows = SOME
    assert database.look(1, messages=3) is not None
