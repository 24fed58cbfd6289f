"""How many statements run, wait and are remembered; what they do is left out."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aerodrome.emulator.redshift import running, statements
from aerodrome.emulator.redshift.results import Result
from aerodrome.emulator.redshift.running import Surroundings
from aerodrome.emulator.redshift.sql import understand
from aerodrome.emulator.redshift.statement import Statement, StatementStatus, Stop, SubStatement
from aerodrome.emulator.redshift.statements import Statements
from aerodrome.emulator.redshift.warehouses import Warehouse
from aerodrome.emulator.redshift.wire import ServiceError

THREADS = ThreadPoolExecutor(4)
AROUND = Surroundings(folder=Path("/nonexistent"), s3=lambda: None)


def statement(number, cluster="one"):
    return Statement(
        identifier=f"{number:08}",
        warehouse=Warehouse(endpoint=f"cluster/{cluster}", database="dev"),
        caller="AKIA",
        given={},
        parts=(SubStatement(understood=understand("select 1", {})),),
        is_batch=False,
        is_transaction=False,
    )


class Work:
    """Statements that run until they are let go."""

    def __init__(self):
        self.gate = threading.Event()
        self.begun = []

    def carry_out(self, each, _around):
        each.course.begin()
        self.begun.append(each.identifier)
        self.gate.wait(30)
        each.course.end(StatementStatus.ABORTED if each.stop else StatementStatus.FINISHED)
        each.has_ended.set()


@pytest.fixture
def work(monkeypatch):
    found = Work()
    monkeypatch.setattr(running, "carry_out", found.carry_out)
    yield found
    found.gate.set()


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - it comes to be in threads
            await asyncio.sleep(0.005)


def test_one_database_takes_not_all_places(work):
    async def scenario():
        kept = Statements(AROUND, THREADS)
        for number in range(10):
            kept.add(statement(number))
        kept.add(statement(99, cluster="two"))
        await until(lambda: "00000099" in work.begun)
        assert len(work.begun) == statements.AT_ONCE_IN_ONE + 1
        work.gate.set()
        await until(lambda: len(work.begun) == 11)
        await asyncio.gather(*(kept.ended(f"{number:08}", 30) for number in (*range(10), 99)))
        assert {each.course.status for each in kept.newest_first()} == {StatementStatus.FINISHED}

    asyncio.run(scenario())


def test_no_more_run_than_there_are_places(work):
    async def scenario():
        kept = Statements(AROUND, THREADS)
        for number in range(statements.AT_ONCE + 5):
            kept.add(statement(number, cluster=f"c{number}"))
        await until(lambda: len(work.begun) == statements.AT_ONCE)
        await kept.cancel(kept.find(f"{statements.AT_ONCE:08}"))
        assert kept.find(f"{statements.AT_ONCE:08}").course.status is StatementStatus.ABORTED
        work.gate.set()
        await until(lambda: len(work.begun) == statements.AT_ONCE + 4)

    asyncio.run(scenario())


def test_there_is_a_most_of_those_that_wait(work):
    async def scenario():
        kept = Statements(AROUND, THREADS)
        for number in range(statements.MOST_ACTIVE):
            kept.require_room()
            kept.add(statement(number))
        with pytest.raises(ServiceError) as refused:
            kept.require_room()
        assert refused.value.code == "ActiveStatementsExceededException"
        work.gate.set()
        await until(lambda: len(work.begun) == statements.MOST_ACTIVE)

    asyncio.run(scenario())


def test_the_oldest_that_have_ended_are_forgotten(work, monkeypatch):
    monkeypatch.setattr(statements, "MOST_REMEMBERED", 5)
    work.gate.set()

    async def scenario():
        kept = Statements(AROUND, THREADS)
        for number in range(20):
            kept.add(statement(number))
            await kept.ended(f"{number:08}", 30)
        assert [each.identifier for each in kept.newest_first()] == [f"{number:08}" for number in range(19, 14, -1)]

    asyncio.run(scenario())


def test_large_results_make_room_for_new_ones(work, monkeypatch):
    monkeypatch.setattr(statements, "MOST_BYTES", 1000)
    work.gate.set()

    async def scenario():
        kept = Statements(AROUND, THREADS)
        for number in range(4):
            each = statement(number)
            each.parts[0].result = Result([], size=400)
            kept.add(each)
            await kept.ended(each.identifier, 30)
        assert [each.identifier for each in kept.newest_first()] == ["00000003", "00000002"]

    asyncio.run(scenario())


def test_what_has_ended_long_ago_is_forgotten(work, monkeypatch):
    work.gate.set()

    async def scenario():
        kept = Statements(AROUND, THREADS)
        kept.add(statement(1))
        await kept.ended("00000001", 30)
        monkeypatch.setattr(statements, "REMEMBERED_FOR", 0.0)
        assert kept.find("00000001") is None

    asyncio.run(scenario())


def test_waiting_has_an_end(work):
    async def scenario():
        kept = Statements(AROUND, THREADS)
        kept.add(statement(1))
        await kept.ended("00000001", 0.01)
        assert kept.find("00000001").course.status is not StatementStatus.FINISHED
        await kept.ended("unknown", 10)
        work.gate.set()

    asyncio.run(scenario())


def test_closing_ends_all_and_takes_no_more(work, monkeypatch):
    ended = []
    monkeypatch.setattr(running, "end", lambda each, why, _: (ended.append((each.identifier, why)), work.gate.set()))

    async def scenario():
        kept = Statements(AROUND, THREADS)
        kept.add(statement(1))
        await kept.close()
        with pytest.raises(ServiceError):
            kept.require_room()

    asyncio.run(scenario())
    assert ended == [("00000001", Stop.LEAVING)]


def test_a_statement_that_takes_too_long_is_ended(work, monkeypatch):
    monkeypatch.setattr(running, "LONGEST", 0.01)
    ended = []
    monkeypatch.setattr(running, "end", lambda _each, why, _: (ended.append(why), work.gate.set()))

    async def scenario():
        kept = Statements(AROUND, THREADS)
        kept.add(statement(1))
        await kept.ended("00000001", 30)

    asyncio.run(scenario())
    assert ended == [Stop.LATE]
