"""Backends where no Airflow is installed, so nothing runs: in memory, and the local one on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import aiohttp
import pytest

from aerodrome.backends.contract import WebServer
from aerodrome.errors import RetryError
from aerodrome.model.orders import AT_ONCE, CellOrder, DropDatabase, Keep, MendDatabase, Point, Remove, ServicesOrder
from aerodrome.model.release import Deployed
from aerodrome.model.spec import Spec
from contract import benches
from product import wait_for

PATIENCE = 20.0


@pytest.fixture(params=["memory", "local"])
def bench(request: pytest.FixtureRequest, spec: Spec) -> Iterator[benches.Bench]:
    """Where no version of Airflow is installed."""
    if request.param == "memory":
        yield benches.in_memory(spec)
        return
    with benches.on_this_machine(spec, request.getfixturevalue("cluster"), None) as made:
        yield made


def nothing(order: CellOrder | ServicesOrder, patience: float) -> CellOrder | ServicesOrder:
    return replace(order, keep=Keep.NOTHING, patience=patience)


def endings(bench: benches.Bench) -> list:
    """Every order that takes something away."""
    return [
        nothing(bench.cell, PATIENCE),
        nothing(bench.services, PATIENCE),
        nothing(bench.cell, AT_ONCE),
        nothing(bench.services, AT_ONCE),
        DropDatabase(),
    ]


def is_bare(bench: benches.Bench) -> bool:
    """Whether there is nothing of the environment."""
    seen = bench.see()
    assert not seen.releases.installation.done
    assert seen.releases.work is None
    return (seen.runtime, seen.database) == (benches.NOWHERE, benches.NO_DATABASE)


def test_nothing_is_seen_of_what_was_never_made(bench):
    assert is_bare(bench)
    assert not bench.see().services.all_ready
    bench.unsettled = True
    assert is_bare(bench)


@pytest.mark.parametrize("number", range(7))
def test_taking_away_what_is_not_there_does_nothing(bench, number):
    order = [*endings(bench), Remove(revision=benches.REVISION), Remove()][number]
    bench.act(order, order)
    assert is_bare(bench)


def test_what_needs_airflow_waits_for_its_installation(bench):
    before = bench.see()
    for order in (bench.database, bench.cell):
        assert bench.refuses(order)
        assert bench.see() == before


def test_services_need_no_airflow_and_go_as_often_as_one_likes(bench):
    for _ in range(2):
        bench.act(bench.services, bench.services)
        seen = bench.see()
        assert (seen.runtime.exists, seen.services.alive, seen.services.order) == (True, True, bench.services)
        assert {unit.name for unit in seen.services.units} == seen.services.wanted == {"redis", "sidecar"}
        for order in endings(bench):
            bench.act(order)
        assert not bench.see().services.runs
        assert bench.see().runtime.exists
        bench.act(Remove(), Remove())
        assert is_bare(bench)


def test_a_changed_order_for_services_is_followed_without_a_new_start(bench):
    bench.act(bench.services)
    other = replace(bench.services, dag_s3_path="elsewhere")
    bench.act(other, other)
    seen = bench.see().services
    assert (seen.order, seen.alive) == (other, True)
    bench.act(Remove())


def test_services_that_only_watch_the_bucket_start_so_and_stay_so_and_become_whole_again(bench):
    watching = replace(bench.services, keep=Keep.BUCKET)

    def runs(*names: str) -> bool:
        return bench.sees(lambda seen: {unit.name for unit in seen.services.units} == {*names})

    for first in (watching, bench.services):
        bench.act(first, first)
        bench.act(watching, watching)
        wait_for("the queue's server has stopped", lambda: runs("sidecar"))
        seen = bench.see().services
        assert (seen.order, seen.alive, seen.all_ready) == (watching, True, False)
        assert seen.wanted == {"redis", "sidecar"}
        bench.act(bench.services, bench.services)
        wait_for("both are there", lambda: runs("redis", "sidecar"))
        assert bench.see().services.order == bench.services
        bench.act(Remove())


def test_requests_go_where_they_were_pointed_last(bench):
    bench.act(bench.services)
    assert bench.see().runtime.served is None
    for revision in (1, 2, 1):
        bench.act(Point(revision=revision), Point(revision=revision))
        assert bench.see().runtime.served == revision
    bench.act(Remove())
    assert bench.see().runtime.served is None


def test_a_web_server_may_always_be_asked_for_and_is_another_one_with_each_revision(bench):
    found = [web_server_that_is_away(bench)]
    bench.act(bench.services)
    found.append(web_server_that_is_away(bench))
    for revision in (1, 2, 1):
        bench.act(Point(revision=revision))
        found.append(web_server_that_is_away(bench))
    bench.act(Remove())
    found.append(web_server_that_is_away(bench))
    never, unserved, first, second, again, removed = found
    assert (never, first) == (unserved, again)
    assert never == removed
    assert len({never, first, second}) == 3


def web_server_that_is_away(bench: benches.Bench) -> WebServer:
    """The present web server, of which each connection is refused."""
    server = bench.backend.runtime.web_server(bench.tenant)
    assert server == bench.backend.runtime.web_server(bench.tenant)

    async def ask() -> None:
        async with aiohttp.ClientSession(connector=server.connector(limit=1)) as session:
            await session.get("http://web/")

    with pytest.raises(aiohttp.ClientConnectorError):
        asyncio.run(ask())
    return server


def test_what_its_code_has_altered_of_the_database_is_seen_and_set_anew(bench):
    assert bench.see().database.altered == ()
    bench.alter_database()
    assert "the role's password" in bench.see().database.altered
    bench.act(MendDatabase(), MendDatabase())
    assert bench.see().database.altered == ()
    bench.act(DropDatabase())
    assert is_bare(bench)


def test_as_many_connections_as_ordered_last_are_let_into_the_database(bench):
    bench.alter_database()
    for number in (7, 9, None):
        bench.act(MendDatabase(connections=number), MendDatabase(connections=number))
        seen = bench.see().database
        assert (seen.connections, seen.exhausted) == (number or 9, None)
    bench.act(DropDatabase())


def test_a_release_whose_folder_is_gone_is_seen(bench):
    deployed = Deployed(identifier="f00d", version="3.3.1", lock="10ck", content="c0ffee")
    assert not bench.see().releases.is_lost
    bench.running = deployed
    bench.lose_release(deployed)
    assert bench.see().releases.is_lost
    assert bench.see().releases.work is None


def test_environments_do_not_share_their_place(bench):
    bench.act(bench.services)
    other = replace(bench.tenant, name="two", identifier="c0117ac8", number=2)
    assert (bench.look(other).runtime, bench.look(other).database) == (benches.NOWHERE, benches.NO_DATABASE)
    bench.act_for(other, Remove())
    assert bench.see().services.alive
    bench.act(Remove())


@pytest.mark.parametrize("started", [False, True])
def test_what_does_not_run_takes_no_command_and_has_printed_nothing(bench, started):
    if started:
        bench.act(bench.services)
    before = bench.see()
    with pytest.raises(RetryError):
        bench.backend.runtime.run_command(bench.tenant, benches.REVISION, ["version"])
    tail = bench.backend.runtime.tail
    assert tail(bench.tenant, "scheduler", benches.REVISION) == ()
    if not started:
        assert tail(bench.tenant, "sidecar") == ()
    assert tail(bench.tenant, "unheard-of") == ()
    assert bench.see().runtime.exists == before.runtime.exists
    bench.act(Remove())
