"""What warm processes are called where everybody reads it, and what is told of them."""

import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aerodrome.airflow import priming
from aerodrome.backends.local import warm
from aerodrome.release.installation import Installation
from aerodrome.settings import Settings

SETTINGS = Settings(data=Path("/data"))


def socket_of(release: str) -> str:
    """The name that /proc/net/unix shows to every environment."""
    own = Path("/data/releases") / release / "venv"
    made = Installation(version="3.3.1", folder=Path("/data/versions/3.3.1-abcdef"), lock="f" * 64, own=own)
    argv = warm.describe(SETTINGS, made).argv
    return argv[argv.index("--socket") + 1]


def test_the_name_of_a_socket_does_not_tell_whose_release_it_serves():
    release = "0123456789abcdef" * 4
    shown = Path(socket_of(release)).name
    assert not [at for at in range(len(release) - 5) if release[at : at + 6] in shown]
    assert socket_of(release) == socket_of(release) != socket_of(release[::-1])


class Warm(socketserver.UnixStreamServer):
    """A warm process that says what it is told to."""

    answer: dict[str, object]


class Asked(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        assert json.loads(self.rfile.readline()) == {"op": "status"}
        assert isinstance(self.server, Warm)
        self.wfile.write(json.dumps(self.server.answer).encode() + b"\n")


@pytest.fixture
def settings() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory() as made:  # paths of sockets are short
        settings = Settings(data=Path(made))
        folder = settings.paths.run / "warm-3.3.1-abcdef"
        folder.mkdir(parents=True)
        priming.file(folder).write_text(json.dumps({"socket": str(settings.paths.run / "w1.prime")}))
        (settings.paths.run / "warm-2.11.2-abcdef").mkdir()  # it never has a primed process
        yield settings


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"ok": True, "primed": False}, 1),
        ({"ok": True, "primed": True}, 0),
        ({"ok": True, "primed": None}, 0),
        ({"ok": True}, 0),  # of an earlier Aerodrome
        ({"ok": False, "error": "busy"}, 0),
    ],
)
def test_a_primed_process_that_has_ended_is_a_trouble(settings, answer, count):
    with Warm(str(settings.paths.run / "w1.sock"), Asked) as server:
        server.answer = answer
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        found = warm.troubles(settings.paths)
        thread.join()
    assert len(found) == count
    for sentence in found:
        assert "3.3.1" in sentence
        assert str(settings.paths.logs / "warm-3.3.1-abcdef.log") in sentence


def test_no_warm_process_is_no_trouble(settings):
    assert warm.troubles(settings.paths) == []
