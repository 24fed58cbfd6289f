"""What an environment has queued, in a real Redis that it shares with others and in a folder of its own."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as client_library

from aerodrome import errors
from aerodrome.services import queues, redis
from aerodrome.services.queues import Queues

PASSWORD = "se/cret@1"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A Redis that is nobody's, on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="aero-") as folder:
        words = [redis.find_program(), "--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD]
        server = subprocess.Popen([*words, "--dir", folder, "--save", ""], stdout=subprocess.DEVNULL)
        try:
            wait_for(port)
            yield f"redis://:se%2Fcret%401@127.0.0.1:{port}/2?ssl_cert_reqs=CERT_NONE"
        finally:
            server.terminate()
            server.wait()


def wait_for(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return


@pytest.fixture
def client(url: str) -> Iterator[client_library.Redis]:
    with client_library.Redis.from_url(url.partition("?")[0], decode_responses=True) as found:
        found.flushall()
        yield found


@pytest.fixture
def mine(url: str, tmp_path: Path) -> Queues:
    return Queues(identifier="0a1b2c3d", folder=tmp_path / "spool", url=url)


def fill(client: client_library.Redis, identifier: str = "0a1b2c3d") -> None:
    """As Celery does: lists, sets, hashes and results that expire; more keys than one request takes."""
    prefix = redis.key_prefix(identifier)
    client.rpush(f"{prefix}default", "task 1", "task 2")
    client.hset(f"{prefix}unacked", "tag", "task 3")
    client.sadd(f"{prefix}_kombu.binding.default", "default")
    for number in range(queues.AT_ONCE + 10):
        client.set(f"{prefix}celery-task-meta-{number}", "result", ex=1000)


def names(client: client_library.Redis) -> set[str]:
    return set(client.keys())


def test_nothing_stays_of_an_environment_that_goes(client, mine):
    fill(client)
    mine.set_aside(4)
    fill(client)
    fill(client, "ffffffff")
    client.set("somebody's", "own")
    mine.remove()
    left = names(client)
    assert "somebody's" in left
    assert {each.partition("0a1b2c3d")[1] for each in left} == {""}
    assert len(left) == queues.AT_ONCE + 10 + 3 + 1
    mine.remove()


def test_what_was_queued_is_set_aside_and_comes_back_whole(client, mine):
    fill(client)
    before = names(client)
    mine.set_aside(4)
    assert not [each for each in names(client) if each.startswith(redis.key_prefix("0a1b2c3d"))]
    client.rpush("aerodrome:0a1b2c3d:default", "of the new version")
    mine.set_aside(4)
    assert client.lrange("aerodrome:0a1b2c3d:default", 0, -1) == ["of the new version"]
    mine.put_back(4)
    mine.put_back(4)
    assert names(client) == before
    assert client.lrange("aerodrome:0a1b2c3d:default", 0, -1) == ["task 1", "task 2"]
    assert client.ttl("aerodrome:0a1b2c3d:celery-task-meta-0") > 0


def test_broken_off_anywhere_it_goes_on(client, mine):
    fill(client)
    before = names(client)
    client.rename("aerodrome:0a1b2c3d:default", "aerodrome-aside:0a1b2c3d:4:default")  # killed after the first
    mine.put_back(4)
    assert names(client) == before
    client.rename("aerodrome:0a1b2c3d:default", "aerodrome-aside:0a1b2c3d:4:default")
    mine.set_aside(4)
    client.unlink("aerodrome-aside:0a1b2c3d:whole:4")  # killed in the midst of putting back
    client.rename("aerodrome-aside:0a1b2c3d:4:default", "aerodrome:0a1b2c3d:default")
    mine.put_back(4)
    assert names(client) == before


def test_what_was_set_aside_is_forgotten_when_the_change_has_held(client, mine):
    fill(client)
    mine.set_aside(4)
    client.set("aerodrome:0a1b2c3d:new", "1")
    mine.forget_aside()
    assert names(client) == {"aerodrome:0a1b2c3d:new"}


def test_a_redis_that_does_not_answer_is_tried_again_and_no_secret_told(tmp_path):
    away = Queues(identifier="a", folder=tmp_path, url="redis://:hush@127.0.0.1:1/0")
    for act in (away.remove, away.forget_aside, lambda: away.set_aside(1), lambda: away.put_back(1)):
        with pytest.raises(errors.RetryError) as caught:
            act()
        assert "hush" not in str(caught.value)
        assert "AERODROME_REDIS_URL" in str(caught.value)
    assert "hush" not in repr(away)


def test_a_redis_of_its_own_has_a_folder(tmp_path):
    own = Queues(identifier="a", folder=tmp_path / "spool", url=None)
    own.folder.mkdir()
    (own.folder / "aof").write_text("old")
    own.set_aside(4)
    own.folder.mkdir()
    (own.folder / "aof").write_text("new")
    own.set_aside(4)
    assert (own.folder / "aof").read_text() == "new"
    own.put_back(4)
    own.put_back(4)
    assert (own.folder / "aof").read_text() == "old"
    own.set_aside(5)
    own.forget_aside()
    own.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("redis://:p@h:1/2?virtual_host=1&ssl_cert_reqs=none", "redis://:p@h:1/2"),
        ("rediss://:p@h:1/2?ssl_cert_reqs=CERT_NONE", "rediss://:p@h:1/2?ssl_cert_reqs=none"),
        (
            "rediss://h?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem",
            "rediss://h?ssl_cert_reqs=required&ssl_ca_certs=%2Fca.pem",
        ),
    ],
)
def test_the_url_of_celery_is_understood(written, known):
    assert queues.address(written) == known
