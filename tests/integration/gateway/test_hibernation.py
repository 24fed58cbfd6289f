"""Requests for an environment that hibernates: who may wake it, who waits for it, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from aerodrome.ledger.schema import environment
from aerodrome.model.hibernation import AWAKE, Hibernation, HibernationStep, Rest
from aerodrome.model.lifecycle import Status
from aerodrome.operations import hibernation
from waiting import LIMIT, wait_for

NAME = "both"


@pytest.fixture
def asleep(world: Any, engine: sa.Engine) -> Iterator[Any]:
    """The world, in which one environment hibernates and comes awake only when a test says so."""
    world.cookie = world.log_in(NAME)
    _set_status(engine, Status.AVAILABLE)
    _rest(world, Hibernation(rest=Rest.HIBERNATED, since=world.now()))
    wait_for("the gateway knows", lambda: "hibernates" in _refresh(world).body.decode())
    world.airflow.seen.clear()
    with mock.patch.object(hibernation, "PATIENCE", LIMIT):  # a loaded machine may take longer than clients wait
        yield world
    _rest(world, AWAKE)
    _set_status(engine, Status.CREATING)
    wait_for("the gateway knows", lambda: _refresh(world).status == 200)


def _set_status(engine: sa.Engine, status: Status) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(environment).where(environment.c.name == NAME).values(status=status))


def _rest(world: Any, wanted: Hibernation) -> None:
    world.ledger.rest(NAME, lambda _: HibernationStep(wanted), world.now())


def _refresh(world: Any) -> Any:
    """What a page's script gets that reads something now and then."""
    scripts = {"Sec_Fetch_Dest": "empty", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Site": "same-origin"}
    return world.ask("GET", "/api/v2/dags", name=NAME, cookie=world.cookie, **scripts)


def _is(world: Any, rest: Rest) -> bool:
    return world.environment(NAME).hibernation.rest is rest


def test_a_request_wakes_it_and_is_answered_when_it_is_awake(asleep):
    with ThreadPoolExecutor(9) as pool:
        asked = [
            pool.submit(asleep.ask, "GET", f"/page/{number}", name=NAME, cookie=asleep.cookie) for number in range(8)
        ]
        wait_for("it is being woken", lambda: _is(asleep, Rest.WAKING))
        assert not any(each.done() for each in asked)
        assert not asleep.airflow.seen
        _rest(asleep, AWAKE)
        assert [each.result().status for each in asked] == [200] * 8
    events = [each for each in asleep.ledger.events(NAME) if each["kind"] == "WAKING"]
    assert "user/ada uses its web server." in events[-1]["sentence"]


def test_a_request_does_not_wait_for_ever(asleep):
    with mock.patch.object(hibernation, "PATIENCE", 0.5):
        answer = asleep.ask("GET", "/", name=NAME, cookie=asleep.cookie, accept="text/html")
    assert (answer.status, answer.headers["retry-after"], answer.headers["refresh"]) == (503, "5", "5")
    assert "is being woken; try again in a moment" in answer.body.decode()
    assert _is(asleep, Rest.WAKING)


def test_a_command_wakes_it_before_it_runs(asleep):
    token = asleep.token(NAME, None, "cli")
    with ThreadPoolExecutor(1) as pool:
        headers = {"Authorization": f"Bearer {token}", "Content_Type": "text/plain"}
        asked = pool.submit(asleep.ask, "POST", "/aws_mwaa/cli", name=NAME, body="dags list", **headers)
        wait_for("it is being woken", lambda: _is(asleep, Rest.WAKING))
        assert not asleep.commands
        _rest(asleep, AWAKE)
        assert asked.result().status == 200
    assert asleep.commands == [(NAME, "dags list")]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {}),
        ("GET", "/", {"Cookie": "_token=forged"}),
        ("GET", "/aws_mwaa/aws-console-sso?login=true", {}),
        ("POST", "/aws_mwaa/login", {"Content_Type": "application/x-www-form-urlencoded"}),
        ("POST", "/aws_mwaa/cli", {"Authorization": "Bearer forged"}),
        ("POST", "/api/v2/dags/a/dagRuns", {"Authorization": "Bearer forged"}),
        ("GET", "/execution/x", {}),
    ],
)
def test_a_stranger_wakes_nobody(asleep, method, path, headers):
    body = "token=forged" if method == "POST" else None
    answer = asleep.ask(method, path, name=NAME, body=body, **headers)
    assert answer.status in {200, 401, 403, 404}
    assert _is(asleep, Rest.HIBERNATED)


def test_a_page_that_refreshes_itself_wakes_nobody(asleep):
    answer = _refresh(asleep)
    assert (answer.status, answer.document["detail"]) == (503, f"{NAME} hibernates. Load the page anew to wake it.")
    assert _is(asleep, Rest.HIBERNATED)
    assert not asleep.airflow.seen


def test_a_hundred_who_wait_ask_the_ledger_as_one(asleep):
    looks, real, lock = [], asleep.ledger.get, threading.Lock()

    def counted(name: str) -> Any:
        with lock:
            looks.append(name)
        return real(name)

    with mock.patch.object(asleep.ledger, "get", counted), mock.patch.object(hibernation, "PATIENCE", 2.0):
        with ThreadPoolExecutor(40) as pool:
            asked = [pool.submit(asleep.ask, "GET", "/", name=NAME, cookie=asleep.cookie) for _ in range(40)]
            assert {each.result().status for each in asked} == {503}
        assert len(looks) < 40 * 2.0 / hibernation.PAUSE / 2  # of as many as if each looked for itself
