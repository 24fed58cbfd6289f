from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo
from sqlalchemy.engine import make_url

from aerodrome import errors
from aerodrome.services import clusters, databases, postgres_conf
from aerodrome.services.clusters import Cluster

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=("Cs",)), min_size=1)
CLUSTER = Cluster(host="/run/a b/pg", user="postgres", password="s3/cr@t")


@given(database=WORDS, user=WORDS, password=WORDS)
def test_libpq_and_sqlalchemy_read_the_same_from_a_dsn(database: str, user: str, password: str):
    parts = conninfo.conninfo_to_dict(CLUSTER.dsn(database, user, password))
    assert (parts["dbname"], parts["user"], parts["password"]) == (database, user, password)
    assert (parts["host"], parts["port"]) == ("/run/a b/pg", "5432")
    url = make_url(CLUSTER.dsn(database, user, password, scheme="postgresql+psycopg"))
    assert (url.database, url.username, url.password) == (database, user, password)
    assert url.query["host"] == "/run/a b/pg"


def test_a_cluster_does_not_print_its_password():
    assert "s3/cr@t" not in repr(CLUSTER)


def test_an_external_url_keeps_its_options():
    cluster = clusters.external("postgresql://admin:p%40ss@db.example:6432/main?sslmode=verify-full")
    assert cluster == Cluster(
        host="db.example",
        user="admin",
        password="p@ss",
        port=6432,
        database="main",
        options=(("sslmode", "verify-full"),),
    )
    assert "sslmode=verify-full" in cluster.dsn("env", "env", "pw")
    assert cluster.superuser_dsn().startswith("postgresql://admin:p%40ss@/main?")


@pytest.mark.parametrize("url", ["mysql://a:b@c/d", "postgresql://", "postgresql://host/db", "nonsense"])
def test_an_unusable_url_is_refused_with_the_fix_and_without_its_text(url: str):
    with pytest.raises(errors.CallerError, match="postgresql://user:password@host/db"):
        clusters.external(url)


def test_the_server_listens_on_its_socket_only(tmp_path):
    text = postgres_conf.server(tmp_path / "it's", shared=False, environments=2)
    assert "listen_addresses = ''\n" in text
    assert f"unix_socket_directories = '{tmp_path}/it''s'\n" in text
    assert "unix_socket_permissions = '0700'\n" in text
    assert f"max_connections = '{postgres_conf.connections(2)}'\n" in text
    assert "unix_socket_permissions = '0777'\n" in postgres_conf.server(tmp_path, shared=True, environments=2)


@given(st.integers(0, 200))
def test_however_many_connections_share_as_many_locks_and_no_fewer(environments: int):
    text = postgres_conf.server(Path("/sockets"), shared=True, environments=environments)
    found = {name: value.strip("'") for name, _, value in (line.partition(" = ") for line in text.splitlines())}
    locks = int(found["max_connections"]) * int(found["max_locks_per_transaction"])
    assert postgres_conf.LOCKS <= locks < postgres_conf.LOCKS + int(found["max_connections"])


@given(st.text())
def test_a_lock_key_is_a_signed_64_bit_number(name: str):
    assert -(2**63) <= databases.lock_key(name) < 2**63
