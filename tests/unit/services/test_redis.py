from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import errors
from aerodrome.services import redis

SOCKET = Path("/run/a b/redis.sock")


def options(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


def test_redis_listens_on_its_socket_only_and_forgets_nothing():
    conf = options(redis.configuration(socket=SOCKET, folder=Path("/spool")))
    assert conf["port"] == "0"
    assert conf["unixsocket"] == '"/run/a b/redis.sock"'
    assert conf["unixsocketperm"] == "700"
    assert conf["appendonly"] == "yes"
    assert conf["appendfsync"] == "everysec"
    assert conf["save"] == '""'
    assert conf["maxmemory-policy"] == "noeviction"


def test_a_shared_group_reaches_the_socket():
    conf = options(redis.configuration(socket=SOCKET, folder=Path("/spool"), shared_group=True))
    assert conf["unixsocketperm"] == "770"


def test_a_quote_in_a_path_cannot_add_an_option():
    conf = redis.configuration(socket=Path('/run/"x\\'), folder=Path("/spool"))
    assert 'unixsocket "/run/\\"x\\\\"\n' in conf


def test_the_unit_is_ready_when_its_socket_accepts():
    unit = redis.unit(
        program=Path("/bin/redis-server"),
        config=Path("/e/redis.conf"),
        socket=SOCKET,
        folder=Path("/e/spool"),
        log=Path("/e/redis.log"),
        uid=7,
    )
    assert unit["argv"] == ["/bin/redis-server", "/e/redis.conf"]
    assert unit["ready"] == "connect:/run/a b/redis.sock"
    assert (unit["name"], unit["how"], unit["uid"], unit["after"]) == ("redis", "exec", 7, [])
    assert unit["stop"]["signal"] == "SIGTERM"


@given(st.from_regex(r"/[a-zA-Z0-9 %?#@:_.-]{1,40}", fullmatch=True))
def test_the_socket_survives_its_url(path: str):
    endpoints = redis.embedded(Path(path))
    for url, database in ((endpoints.broker_url, "0"), (endpoints.result_backend, "1")):
        parts = urlsplit(url)
        assert parts.scheme == "redis+socket"
        assert Path(unquote(parts.path)) == Path(path)
        assert parts.query == f"virtual_host={database}"


def test_an_external_redis_is_shared_under_a_prefix_of_the_environment():
    endpoints = redis.external("rediss://:secret@cache:6380/2", "0a1b2c3d")
    assert endpoints.broker_url == endpoints.result_backend == "rediss://:secret@cache:6380/2"
    assert endpoints.key_prefix == "aerodrome:0a1b2c3d:"
    assert "secret" not in repr(endpoints)


@pytest.mark.parametrize("url", ["http://cache:6379", "redis://", "cache:6379"])
def test_a_url_that_is_not_redis_is_refused_with_the_fix(url: str):
    with pytest.raises(errors.CallerError, match="AERODROME_REDIS_URL"):
        redis.external(url, "0a1b2c3d")
