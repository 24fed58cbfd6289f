"""Requests for databases, answered by a real PostgreSQL's superuser and by the role that a hosted one gives."""

from __future__ import annotations

import dataclasses
import json
import secrets
import stat
from functools import partial

import psycopg
import pytest
from psycopg import sql

from aerodrome.emulator.redshift import warehouses
from aerodrome.emulator.redshift.warehouses import REFUSAL, REQUEST, WAY_IN, Access, Arrivals, Warehouse
from aerodrome.errors import RetryError
from aerodrome.services import clusters, databases

DEV = Warehouse(endpoint="cluster/one", database="dev")
PROD = Warehouse(endpoint="cluster/one", database="prod")


@pytest.fixture(params=["superuser", "createrole"])
def admin(request, cluster):
    """The server as its superuser sees it, and as a customer of a hosted one does."""
    if request.param == "superuser":
        yield cluster
    else:
        name = f"customer_{secrets.token_hex(4)}"
        with clusters.connect(cluster) as connection:
            role = sql.Identifier(name)
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'pw'").format(role))
            connection.execute(sql.SQL("GRANT CONNECT ON DATABASE postgres TO {}").format(role))
        yield dataclasses.replace(cluster, user=name, password="pw")
    for name in databases.databases(cluster, warehouses.PREFIX):
        databases.drop_database(cluster, name)
        databases.drop_role(cluster, name)


def provide(server, folder, arrivals=None):
    """As the keeper does it."""
    make = partial(databases.ensure_own, server, connection_limit=warehouses.MOST_CONNECTIONS)
    warehouses.provide(arrivals or Arrivals(folder), server, make)


def request(folder, warehouse):
    warehouses.requests(folder).mkdir(exist_ok=True)
    (warehouses.requests(folder) / f"{warehouse.key}{REQUEST}").write_text(json.dumps(dataclasses.asdict(warehouse)))


def left(folder):
    """The files of the folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def way_in(folder, warehouse):
    return Access.of((folder / f"{warehouse.key}{WAY_IN}").read_text())


def connect(cluster, access):
    return psycopg.connect(cluster.dsn(access.name, access.name, access.password), autocommit=True)


def test_a_request_is_answered_by_a_file_of_ours_and_taken_away(admin, cluster, tmp_path):
    request(tmp_path, DEV)
    provide(admin, tmp_path)

    [file] = left(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    access = way_in(tmp_path, DEV)
    assert (access.warehouse, access.host) == (DEV, admin.host)
    assert access.password not in repr(access)
    with connect(cluster, access) as connection:
        connection.execute("CREATE TABLE t (i int)")
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolconnlimit FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False, False, False, warehouses.MOST_CONNECTIONS)


def test_each_request_is_a_database_that_the_others_do_not_enter(admin, cluster, tmp_path):
    for each in (DEV, PROD):
        request(tmp_path, each)
    provide(admin, tmp_path)
    dev, prod = way_in(tmp_path, DEV), way_in(tmp_path, PROD)
    assert dev.name != prod.name
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(cluster.dsn(prod.name, dev.name, dev.password))


def test_asking_again_mends_what_the_role_has_done_to_itself(admin, cluster, tmp_path):
    request(tmp_path, DEV)
    provide(admin, tmp_path)
    access = way_in(tmp_path, DEV)
    with connect(cluster, access) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
        connection.execute("ALTER ROLE CURRENT_USER PASSWORD 'mine'")
    request(tmp_path, DEV)
    provide(admin, tmp_path)
    assert way_in(tmp_path, DEV) == access
    with connect(cluster, access) as connection:
        assert connection.execute("SELECT * FROM kept").fetchall() == [(1,)]


def test_a_database_that_is_gone_is_made_again(admin, cluster, tmp_path):
    request(tmp_path, DEV)
    provide(admin, tmp_path)
    access = way_in(tmp_path, DEV)
    databases.drop_database(cluster, access.name)
    databases.drop_role(cluster, access.name)
    request(tmp_path, DEV)
    provide(admin, tmp_path)
    connect(cluster, access).close()


def test_there_is_a_most(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(warehouses, "MOST", 1)
    for each in (DEV, PROD):
        request(tmp_path, each)
        provide(cluster, tmp_path)
    assert "no more" in (warehouses.requests(tmp_path) / f"{PROD.key}{REFUSAL}").read_text()
    assert sorted(path.name for path in left(tmp_path)) == sorted([f"{DEV.key}{WAY_IN}", f"{PROD.key}{REFUSAL}"])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"endpoint": 1', '{"other": "x"}'])
def test_a_request_that_cannot_be_read_holds_up_no_other(cluster, tmp_path, text):
    request(tmp_path, DEV)
    (warehouses.requests(tmp_path) / f"0{REQUEST}").write_text(text)
    provide(cluster, tmp_path)
    assert [path.name for path in left(tmp_path)] == [f"{DEV.key}{WAY_IN}"]


@pytest.mark.parametrize("is_full", [True, False])
def test_what_is_no_request_keeps_none_from_its_turn(cluster, tmp_path, monkeypatch, is_full):
    monkeypatch.setattr(warehouses, "MOST_REQUESTS", 3)
    monkeypatch.setattr(warehouses, "MOST_ENTRIES", 10)
    request(tmp_path, DEV)
    folder = warehouses.requests(tmp_path)
    for number in range(20):
        (folder / f"{number}{REQUEST}").mkdir()
        (folder / f"{number}-link{REQUEST}").symlink_to("/nonexistent")
        (folder / f"{number}{REFUSAL}").touch()
        if is_full:
            (folder / f"{number}{REQUEST}" / "kept").touch()
    arrivals = Arrivals(tmp_path)
    for _ in range(7):  # ten of 61 entries each
        provide(cluster, tmp_path, arrivals)
    assert way_in(tmp_path, DEV).warehouse == DEV
    left_over = {path.name for path in folder.iterdir() if path.name.endswith(REQUEST)}
    assert left_over == ({f"{number}{REQUEST}" for number in range(20)} if is_full else set())
    request(tmp_path, PROD)  # the folder is read anew
    for _ in range(10):
        provide(cluster, tmp_path, arrivals)
    assert way_in(tmp_path, PROD).warehouse == PROD
    list(arrivals._rest)  # which closes the folder


def test_a_folder_that_is_not_there_yet_has_no_requests(tmp_path):
    assert Arrivals(tmp_path).next() == []


def test_a_note_that_was_cut_short_is_written_anew(cluster, tmp_path):
    (tmp_path / f"{DEV.key}{WAY_IN}").write_text('{"warehouse"')
    request(tmp_path, DEV)
    provide(cluster, tmp_path)
    connect(cluster, way_in(tmp_path, DEV)).close()


def test_a_server_that_is_away_is_asked_again_later(cluster, tmp_path):
    request(tmp_path, DEV)
    with pytest.raises(RetryError, match="does not answer"):
        provide(dataclasses.replace(cluster, host="/nonexistent"), tmp_path)
    assert (warehouses.requests(tmp_path) / f"{DEV.key}{REQUEST}").exists()
