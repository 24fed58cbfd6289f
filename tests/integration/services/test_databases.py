from __future__ import annotations

import dataclasses
import os
import secrets
import signal
import threading
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from aerodrome import errors
from aerodrome.services import clusters, databases, postgres
from aerodrome.services.clusters import Cluster


@pytest.fixture
def word() -> str:
    return secrets.token_hex(4)


@pytest.fixture(params=["superuser", "createrole"])
def admin(request, cluster: Cluster, word: str) -> Cluster:
    """The server as its superuser sees it, and as the role that a hosted PostgreSQL gives its customer."""
    if request.param == "superuser":
        return cluster
    with clusters.connect(cluster) as connection:
        role = sql.Identifier(f"customer_{word}")
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'pw'").format(role))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE postgres TO {}").format(role))
    return dataclasses.replace(cluster, user=f"customer_{word}", password="pw")


def connect(cluster: Cluster, database: str, user: str, password: str = "pw") -> psycopg.Connection:
    return psycopg.connect(cluster.dsn(database, user, password), autocommit=True)


def test_an_environment_has_a_database_that_no_other_role_enters(admin, word):
    mine, other = f"env_{word}", f"env_{word}_other"
    for name in (mine, other):
        databases.ensure_role(admin, name, "pw")
        databases.ensure_database(admin, name, name)
    with connect(admin, mine, mine) as connection:
        connection.execute("CREATE TABLE t (i int)")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(admin, mine, other)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(admin, "postgres", mine)
    for name in (mine, other):
        databases.drop_database(admin, name)
        databases.drop_role(admin, name)
    assert databases.databases(admin, f"env_{word}") == ()


def test_a_guest_works_in_a_copy_and_enters_nothing_else_of_its_owner(admin, word):
    live, copy = f"env_{word}", f"try_{word}"
    databases.ensure_role(admin, live, "pw")
    for name in (live, copy):
        databases.ensure_database(admin, name, live)
        with connect(admin, name, live) as connection:
            connection.execute("CREATE TABLE variable (id serial PRIMARY KEY, val text)")
            connection.execute("INSERT INTO variable (val) VALUES ('kept')")
    databases.ensure_role(admin, copy, "guest")
    databases.let_in(admin, copy, copy)
    with connect(admin, copy, copy, "guest") as connection:
        connection.execute("INSERT INTO variable (val) VALUES ('added')")
        assert connection.execute("SELECT val FROM variable ORDER BY id").fetchall() == [("kept",), ("added",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE variable")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(live)))
    with pytest.raises(psycopg.OperationalError):
        connect(admin, live, copy, "guest")
    databases.drop_database(admin, copy)
    databases.drop_role(admin, copy)
    assert not databases.role_exists(admin, copy)
    databases.drop_database(admin, live)
    databases.drop_role(admin, live)


def test_making_twice_changes_nothing_but_the_password(admin, word):
    name = f"env_{word}"
    for password in ("first", "second'; --"):
        databases.ensure_role(admin, name, password)
        databases.ensure_database(admin, name, name)
    connect(admin, name, name, "second'; --").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(admin, name, name, "first")


def test_a_clone_of_a_template_is_its_owners_own(admin, word):
    template, name = f"tmpl_{word}", f"env_{word}"
    databases.ensure_role(admin, template, "pw")
    databases.ensure_database(admin, template, template)
    with connect(admin, template, template) as connection:
        connection.execute("CREATE TABLE slot_pool (i serial)")
        connection.execute("INSERT INTO slot_pool DEFAULT VALUES")
    databases.make_template(admin, template)
    assert databases.is_template(admin, template)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        connect(admin, template, template)

    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name, template)
    databases.ensure_database(admin, name, name, template)
    with connect(admin, name, name) as connection:
        connection.execute("ALTER TABLE slot_pool ADD COLUMN j int")
        row = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'slot_pool'").fetchone()
        ahead = connection.execute("SELECT last_value, log_cnt FROM slot_pool_i_seq").fetchone()
    assert row == (name,)
    assert ahead == (1, 0)  # the next value is logged before it is given out

    databases.drop_database(admin, name)
    databases.drop_role(admin, name)
    databases.drop_database(admin, template)
    databases.drop_role(admin, template)
    assert not databases.database_exists(admin, template)


def test_no_sequence_of_a_clone_goes_back_when_the_server_crashes(paths, word):
    cluster = postgres.up(paths)
    template, name = f"tmpl_{word}", f"env_{word}"
    for role in (template, name):
        databases.ensure_role(cluster, role, "pw")
    databases.ensure_database(cluster, template, template)
    with connect(cluster, template, template) as connection:
        connection.execute("CREATE TABLE log (id serial PRIMARY KEY)")
        connection.execute("INSERT INTO log DEFAULT VALUES")
    databases.make_template(cluster, template)
    databases.ensure_database(cluster, name, name, template)
    insert = "INSERT INTO log DEFAULT VALUES RETURNING id"
    with connect(cluster, name, name) as connection:
        before = [connection.execute(insert).fetchone() for _ in range(3)]
        os.kill(int((paths.postgres / "18" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    with connect(postgres.up(paths), name, name) as connection:
        assert connection.execute(insert).fetchone() > before[-1]


def test_the_size_of_a_database_is_known_while_it_is_there(admin, word):
    name = f"env_{word}"
    assert databases.size(admin, name) is None
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    before = databases.size(admin, name)
    with connect(admin, name, name) as connection:
        connection.execute("CREATE TABLE large AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 5000)")
    assert databases.size(admin, name) > before + 4 * 2**20
    databases.drop_database(admin, name)
    databases.drop_role(admin, name)


def test_a_name_is_never_read_as_sql(admin, word):
    name = f'x"; DROP TABLE y; -- {word}'
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    assert databases.database_exists(admin, name)
    databases.drop_database(admin, name)
    databases.drop_role(admin, name)


def test_a_rename_ends_open_connections_and_can_be_repeated(admin, word):
    name, new = f"env_{word}", f"env_{word}_snapshot"
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    with connect(admin, name, name) as held:
        databases.rename_database(admin, name, new)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    databases.rename_database(admin, name, new)
    connect(admin, new, name).close()
    with pytest.raises(errors.NotFoundError, match=name):
        databases.rename_database(admin, name, f"{new}_2")


def test_a_database_in_use_is_dropped_all_the_same(admin, word):
    name = f"env_{word}"
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    with connect(admin, name, name) as held:
        databases.drop_database(admin, name)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    databases.drop_database(admin, name)
    databases.drop_role(admin, name)
    databases.drop_role(admin, name)


def test_a_closed_database_can_be_copied_and_opened_again(admin, word):
    name = f"env_{word}"
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    with connect(admin, name, name):
        databases.close_database(admin, name)
        databases.ensure_database(admin, f"{name}_copy", name, name)
    assert databases.openness(admin, (name, "no such")) == {name: False, f"{name}_copy": True}
    databases.open_database(admin, name)
    connect(admin, name, name).close()
    assert databases.databases(admin, name) == (name, f"{name}_copy")


def test_a_template_in_use_asks_for_another_try(cluster, word):
    name = f"env_{word}"
    databases.ensure_role(cluster, name, "pw")
    databases.ensure_database(cluster, name, name)
    with connect(cluster, name, name), pytest.raises(errors.RetryError, match="in use"):
        databases.ensure_database(cluster, f"{name}_copy", name, name)


def test_only_one_holds_an_advisory_lock(admin, word):
    with (
        databases.advisory_lock(admin, word),
        pytest.raises(errors.RetryError, match=word),
        databases.advisory_lock(admin, word, timeout=0.05),
    ):
        pass
    with databases.advisory_lock(admin, word, timeout=0.05):
        pass


def test_two_callers_at_once_make_one_database(admin, word):
    name = f"env_{word}"
    failures: list[BaseException] = []

    def make() -> None:
        try:
            databases.ensure_role(admin, name, "pw")
            databases.ensure_database(admin, name, name)
        except BaseException as error:  # noqa: BLE001 -- handed to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert databases.databases(admin, name) == (name,)


def test_an_external_server_must_let_us_make_databases(cluster, word):
    clusters.require(cluster)
    databases.ensure_role(cluster, f"plain_{word}", "pw")
    with clusters.connect(cluster) as connection:
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE postgres TO {}").format(sql.Identifier(f"plain_{word}")))
    with pytest.raises(errors.CallerError, match="CREATEDB CREATEROLE"):
        clusters.require(dataclasses.replace(cluster, user=f"plain_{word}", password="pw"))
    with pytest.raises(errors.RetryError, match="does not answer"):
        clusters.require(dataclasses.replace(cluster, host="/nonexistent"))


ATTACKS = [
    ("the role's password", "ALTER ROLE {0} PASSWORD 'theirs'"),
    ("the role's settings", "ALTER ROLE {0} SET statement_timeout = 1"),
    ("the role's settings", "ALTER ROLE {0} SET default_transaction_read_only = on"),
    ("the role's settings in the database", "ALTER ROLE {0} IN DATABASE {0} SET search_path = nowhere"),
    ("the database's settings", "ALTER DATABASE {0} SET default_transaction_read_only = on"),
    ("the database's connection limit", "ALTER DATABASE {0} CONNECTION LIMIT 0"),
    ("whether the database is a template", "ALTER DATABASE {0} IS_TEMPLATE true"),
    ("the role's rights in the database", "REVOKE ALL ON DATABASE {0} FROM {0}"),
    ("everybody's rights in the database", "GRANT CONNECT ON DATABASE {0} TO PUBLIC"),
]
"""What DAG code can do that has the password of its environment, which owns its database."""


@pytest.fixture
def owned(admin, word) -> Iterator[str]:
    name = f"env_{word}"
    databases.ensure_role(admin, name, "pw")
    databases.ensure_database(admin, name, name)
    yield name
    databases.drop_database(admin, name)
    databases.drop_role(admin, name)


@pytest.mark.parametrize(("words", "attack"), ATTACKS, ids=[attack for _, attack in ATTACKS])
def test_what_an_owner_changed_is_set_anew(admin, owned, words, attack):
    assert databases.altered(admin, owned, "pw") == ()
    with connect(admin, owned, owned) as theirs:
        theirs.execute(attack.format(owned))
    assert databases.altered(admin, owned, "pw") == (words,)
    assert databases.mend(admin, owned, "pw") == (words,)
    assert databases.altered(admin, owned, "pw") == databases.mend(admin, owned, "pw") == ()
    with connect(admin, owned, owned) as theirs:
        theirs.execute("CREATE TABLE t AS SELECT 1 AS i")
        assert theirs.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_everything_at_once_is_set_anew(admin, owned):
    with connect(admin, owned, owned) as theirs:
        for _, attack in ATTACKS:
            theirs.execute(attack.format(owned))
    assert databases.mend(admin, owned, "pw")
    assert databases.altered(admin, owned, "pw") == ()
    connect(admin, owned, owned).close()


def test_an_owner_has_no_rights_beyond_its_own(cluster, word):
    """What it cannot do need not be looked for."""
    name = f"env_{word}"
    databases.ensure_role(cluster, name, "pw")
    databases.ensure_database(cluster, name, name)
    with connect(cluster, name, name) as theirs:
        for refused in (
            "ALTER ROLE {0} NOLOGIN",
            "ALTER ROLE {0} CONNECTION LIMIT 0",
            "ALTER ROLE {0} RENAME TO gone",
            "ALTER ROLE {0} SUPERUSER",
            "ALTER DATABASE {0} RENAME TO gone",
            "ALTER DATABASE {0} ALLOW_CONNECTIONS false",
            "ALTER DATABASE {0} OWNER TO postgres",
            "DROP DATABASE {0}",
            "DROP ROLE {0}",
        ):
            with pytest.raises(psycopg.Error):
                theirs.execute(refused.format(name))
    assert databases.altered(cluster, name, "pw") == ()
    databases.drop_database(cluster, name)
    databases.drop_role(cluster, name)


def test_of_what_is_not_there_nothing_is_altered(admin, word):
    assert databases.altered(admin, f"env_{word}", "pw") == databases.mend(admin, f"env_{word}", "pw") == ()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(admin, f"env_{word}", f"env_{word}")


def test_what_we_may_not_set_anew_keeps_nothing_else_from_it(cluster, admin, owned):
    with clusters.connect(cluster) as superuser:
        superuser.execute(f"ALTER ROLE {owned} SET log_statement = 'all'")
        superuser.execute(f"ALTER DATABASE {owned} CONNECTION LIMIT 0")
    assert "the database's connection limit" in databases.mend(admin, owned, "pw")
    assert "the database's connection limit" not in databases.altered(admin, owned, "pw")
    connect(admin, owned, owned).close()
