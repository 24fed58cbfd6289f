"""An environment's code owns its folder, and puts something else in the place of the web server's socket."""

from __future__ import annotations

import json
import os
import selectors
import threading

import pytest

from aerodrome.backends.local import paths as local_paths
from aerodrome.cell import control

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="units have a uid of their own only as root")

UNITS = 30001


@pytest.fixture
def sockets(world):
    """The folder that the units of `down` may write to."""
    environment = world.environment("down")
    paths = local_paths.of(world.settings.paths, environment.name, environment.identifier)
    paths.unit_sockets.mkdir(parents=True, exist_ok=True)
    os.chown(paths.unit_sockets, UNITS, UNITS)
    paths.web.symlink_to(paths.web_socket(1))
    yield paths.unit_sockets
    for each in (paths.web, *paths.unit_sockets.iterdir()):
        each.unlink()


@pytest.fixture
def cell(tmp_path):
    """The control socket of another environment's cell, or of the warm process: both obey root."""
    asked = []
    selector = selectors.DefaultSelector()

    def answer(request):
        asked.append(request)
        return {"ok": True}

    path = tmp_path / "cell.sock"
    server = control.Server(str(path), selector, answer)
    over = threading.Event()

    def serve():
        while not over.is_set():
            for key, mask in selector.select(0.02):
                key.data(mask)

    thread = threading.Thread(target=serve)
    thread.start()
    yield path, asked
    over.set()
    thread.join(10)
    server.close()
    selector.close()


def test_no_command_reaches_a_cell_by_way_of_a_link(world, sockets, cell):
    path, asked = cell
    (sockets / "web-1.sock").symlink_to(path)
    cookie = world.log_in("down", "Viewer")
    origin = f"https://{world.host('down')}"
    body = b"\n" + json.dumps({"op": "shutdown"}).encode() + b"\n"

    answer = world.ask("POST", "/", name="down", body=body, cookie=cookie, origin=origin)

    assert asked == []
    assert answer.status == 503


def test_the_socket_of_another_user_gets_no_token(world, sockets):
    """A server of root's under the web server's name: the operator's socket, or another environment's."""
    three = world.environment("three")
    other = local_paths.of(world.settings.paths, three.name, three.identifier).web_socket(1)
    cookie = world.log_in("down")
    for make in (lambda: (sockets / "web-1.sock").symlink_to(other), lambda: os.link(other, sockets / "web-1.sock")):
        make()

        answer = world.ask("GET", "/x", name="down", cookie=cookie)

        assert answer.status == 503
        assert world.reached == []
        (sockets / "web-1.sock").unlink()
