"""An environment's code opens every connection to PostgreSQL that it can get: nobody else notices."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from aerodrome.operator import app
from aerodrome.services import clusters, databases, postgres, postgres_conf
from aerodrome.services.clusters import Cluster
from aerodrome.settings import Paths, Settings
from protocol.api.serving import served

MANY = 1_000
"""More than any server here takes."""


@pytest.fixture
def small(short_folder) -> Iterator[Cluster]:
    """A server for no environment, with little more than what is kept free, so that few connections fill it."""
    paths = Paths(short_folder / secrets.token_hex(3))
    yield postgres.up(paths, environments=0)
    postgres.down(paths)


def made(cluster: Cluster, name: str) -> str:
    databases.ensure_role(cluster, name, "pw")
    databases.ensure_database(cluster, name, name)
    return name


@contextlib.contextmanager
def everything_that(cluster: Cluster, name: str) -> Iterator[tuple[int, str]]:
    """All connections that the role gets: how many, and why it gets no more."""
    with contextlib.ExitStack() as held:
        for number in range(MANY):
            try:
                held.enter_context(contextlib.closing(psycopg.connect(cluster.dsn(name, name, "pw"))))
            except psycopg.OperationalError as error:
                yield number, str(error)
                return
        raise AssertionError("there is no end of them")


def test_an_environment_gets_its_own_connections_and_takes_nobody_elses(small):
    hostile, neighbour = made(small, "env_a"), made(small, "env_b")
    assert databases.limit_connections(small, hostile, 30)
    with everything_that(small, hostile) as (number, why):
        assert (number, "too many connections for role" in why) == (30, True)
        psycopg.connect(small.dsn(neighbour, neighbour, "pw")).close()
        found = databases.connections(small, hostile)
        assert found is not None
        assert (found.limit, found.used) == (30, 30)
        with clusters.connect(small) as ours:  # and it cannot change that
            assert ours.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = 'env_a'").fetchone() == (30,)
    with psycopg.connect(small.dsn(hostile, hostile, "pw")) as theirs, pytest.raises(psycopg.Error):
        theirs.execute("ALTER ROLE env_a CONNECTION LIMIT -1")


def test_whoever_has_no_limit_leaves_the_control_plane_its_connections(small):
    """Such as a role that somebody made by hand."""
    hostile, ledger = made(small, "anybody"), made(small, "ledger")
    databases.let_reserved(small, ledger)
    with everything_that(small, hostile) as (number, _):
        assert number <= postgres_conf.FOR_OTHERS
        with contextlib.ExitStack() as held:
            for _ in range(postgres_conf.FOR_LEDGER):
                held.enter_context(contextlib.closing(psycopg.connect(small.dsn(ledger, ledger, "pw"))))
            for _ in range(postgres_conf.FOR_US // 2):
                held.enter_context(clusters.connect(small))


def test_no_environment_may_have_more_than_half_of_a_server(small):
    found = databases.connections(small, made(small, "env_a"))
    assert found is not None
    assert found.limit == -1
    assert found.allowed(MANY) == postgres_conf.FOR_OTHERS // 2
    assert found.allowed(10) == 10
    assert databases.connections(small, "nobody") is None


def test_it_is_told_when_all_together_may_have_more_than_there_is(small):
    assert databases.overcommitment(small) == ""
    for name in ("env_a", "env_b", "env_c"):
        databases.limit_connections(small, made(small, name), 40)
    assert "may open 120 connections to PostgreSQL, which takes 100" in databases.overcommitment(small)


def test_it_is_asked_of_the_server_now_and_then(small):
    now = [0.0]
    told = databases.Overcommitment(lambda: small, lambda: now[0])
    assert told.sentence() == ""
    for name in ("env_a", "env_b", "env_c"):
        databases.limit_connections(small, made(small, name), 40)
    assert told.sentence() == ""
    now[0] += 2 * databases.OVERCOMMITMENT_EVERY
    assert "may open 120 connections" in told.sentence()


def test_a_new_password_leaves_the_limit_as_it_is(small):
    databases.limit_connections(small, made(small, "env_a"), 40)
    databases.ensure_role(small, "env_a", "another")
    found = databases.connections(small, "env_a")
    assert found is not None
    assert found.limit == 40


def test_a_database_of_ones_own_takes_no_more_than_its_share(small, tmp_path):
    """DAG code may have been given its password."""
    deps: Any = SimpleNamespace(
        operations=SimpleNamespace(settings=Settings()), user_databases=tmp_path / "databases", cluster=lambda: small
    )
    with served(app.create_app(deps)) as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("POST", "/databases/mine")
        made = json.load(client.getresponse())
        client.close()
    found = databases.connections(small, made["user"])
    assert found is not None
    assert found.limit == app.MOST_CONNECTIONS
