"""How a unit waits for the metadata database: decided without one."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest

from aerodrome.airflow.inside.aerodrome_unit import database
from aerodrome.airflow.inside.aerodrome_unit.database import Loss

RESTARTING = [
    'connection to server on socket "/run/pg/.s.PGSQL.5432" failed: No such file or directory',
    'connection to server on socket "/run/pg/.s.PGSQL.5432" failed: Connection refused',
    "FATAL:  the database system is starting up",
    "FATAL:  the database system is not yet accepting connections",
    "FATAL:  the database system is in recovery mode",
    "FATAL:  the database system is shutting down",
    "server closed the connection unexpectedly",
]


class Dialect:
    """Refuses with each of the errors, and then lets in."""

    class dbapi:  # noqa: N801 - as SQLAlchemy has it
        OperationalError = ConnectionError

    def __init__(self, *errors):
        self.errors = list(errors)

    def connect(self, *_, **__):
        if self.errors:
            raise ConnectionError(self.errors.pop(0))
        return "connected"


@pytest.fixture
def rests(monkeypatch):
    """The time, which passes only where somebody sleeps; and how long each slept."""
    slept = []
    clock = SimpleNamespace(monotonic=lambda: sum(slept), sleep=slept.append)
    monkeypatch.setattr(database, "time", clock)
    monkeypatch.setattr(database, "_is_ours", lambda options: options.get("dbname") == "ours")
    return slept


def test_whoever_asks_while_it_restarts_waits(rests):
    assert database._connect(Dialect(*RESTARTING), None, [], {"dbname": "ours"}) == "connected"
    assert len(rests) == len(RESTARTING)
    assert rests == sorted(rests)


@pytest.mark.parametrize(
    "told",
    ["password authentication failed", "too many connections for role", "is not currently accepting connections"],
)
def test_what_does_not_pass_is_told_at_once(rests, told):
    with pytest.raises(ConnectionError, match=told):
        database._connect(Dialect(f"FATAL:  {told}"), None, [], {"dbname": "ours"})
    assert rests == []


def test_patience_has_an_end(rests):
    with pytest.raises(ConnectionError, match="refused"):
        database._connect(Dialect(*["refused"] * 1000), None, [], {"dbname": "ours"})
    assert database.PATIENCE < sum(rests) < database.PATIENCE + 2


def test_other_databases_are_not_ours_to_wait_for(rests):
    assert database._connect(Dialect("refused"), None, [], {"dbname": "theirs"}) is None
    assert rests == []


@pytest.mark.parametrize(
    ("losses", "queued", "calls", "ends_well"),
    [
        ([], True, 1, True),
        ([True], True, 2, True),
        ([True, True], True, 3, True),
        ([True, True, True], True, 3, False),
        ([True], False, 1, False),  # it has begun, and may have done something
        ([False], True, 1, False),  # it fails for another reason
    ],
)
def test_a_task_is_begun_again_where_the_database_kept_it_from_beginning(losses, queued, calls, ends_well):
    called = []

    def execute(command, task):
        called.append((command, task))
        if len(called) <= len(losses):
            Loss.note(SimpleNamespace(is_disconnect=losses[len(called) - 1]))
            raise RuntimeError("the command failed")

    begin = database.begun_again(execute, lambda _: queued)
    with contextlib.nullcontext() if ends_well else pytest.raises(RuntimeError):
        begin("airflow tasks run", "id")
    assert called == [("airflow tasks run", "id")] * calls
