"""A new environment's database is there when it is whole, wherever its making was killed."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aerodrome.backends.databases import making, names
from aerodrome.release.installation import Installation
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster

POOL = "core.default_pool_task_slot_count"
MOST_STEPS = 100


class KilledError(BaseException):
    """As if the control plane had been killed: nothing catches it."""


@pytest.fixture
def identifier() -> str:
    return secrets.token_hex(4)


@pytest.fixture
def installation(cluster: Cluster, tmp_path: Path, identifier: str) -> Iterator[Installation]:
    """A version whose template has the one table that making a database writes to."""
    found = Installation("3.3.1", tmp_path / f"9.9.9-{identifier}", "lock")
    name = names.template(found.folder.name)
    databases.ensure_role(cluster, name, "pw")
    databases.ensure_database(cluster, name, name)
    with psycopg.connect(cluster.dsn(name, name, "pw"), autocommit=True) as connection:
        connection.execute("CREATE TABLE slot_pool (id serial PRIMARY KEY, pool text, slots int)")
        connection.execute("INSERT INTO slot_pool (pool, slots) VALUES ('default_pool', 1)")
    databases.make_template(cluster, name)
    yield found
    for each in (names.coming(identifier), names.live(identifier)):
        databases.drop_database(cluster, each)
    making.drop_template(cluster, found.folder.name)
    databases.drop_role(cluster, names.live(identifier))


def slots(cluster: Cluster, identifier: str) -> int:
    """The size of the default pool, changed and read as the environment's units do."""
    live = names.live(identifier)
    with psycopg.connect(cluster.dsn(live, live, "pw"), autocommit=True) as connection:
        connection.execute("ALTER TABLE slot_pool ADD COLUMN IF NOT EXISTS described text")
        row = connection.execute("SELECT slots FROM slot_pool").fetchone()
    assert row is not None
    return int(row[0])


def test_a_database_that_is_there_is_whole_wherever_its_making_was_killed(
    cluster, installation, identifier, monkeypatch
):
    real: Any = psycopg.Connection.execute
    live = names.live(identifier)

    def killed_after(steps: int) -> bool:
        left = iter(range(steps))

        def execute(*args: Any, **named: Any) -> Any:
            found = real(*args, **named)
            if next(left, None) is None:
                raise KilledError
            return found

        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Connection, "execute", execute)
            try:
                making.make_database(cluster, identifier, "pw", installation, {POOL: "7"})
            except KilledError:
                return True
        return False

    for step in range(MOST_STEPS):
        was_killed = killed_after(step)
        if was_killed and not databases.database_exists(cluster, live):
            making.make_database(cluster, identifier, "pw", installation, {POOL: "7"})
        assert slots(cluster, identifier) == 7
        assert names.owned(cluster, identifier) == {live: True}
        databases.drop_database(cluster, live)
        databases.drop_role(cluster, live)
        if not was_killed:
            break
    else:
        pytest.fail("It never ends.")
    assert step > 8


def test_what_is_there_stays_as_it_is(cluster, installation, identifier):
    making.make_database(cluster, identifier, "pw", installation, {})
    assert slots(cluster, identifier) == making.DEFAULT_POOL_SLOTS
    making.make_database(cluster, identifier, "pw", installation, {POOL: "7"})
    assert slots(cluster, identifier) == making.DEFAULT_POOL_SLOTS
