"""`up` beside a control plane that is just ending: processes of the real `daemon`, which a test can end."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from aerodrome import trees
from aerodrome.cli import operator_client, starting
from aerodrome.errors import BrokenError
from aerodrome.services import daemon
from aerodrome.services.program import code
from aerodrome.settings import Settings


@pytest.fixture
def settings():
    data = Path(tempfile.mkdtemp(prefix="aero-"))
    (data / "run").mkdir()
    (data / "run" / "port").write_text("4560")
    yield Settings(data=data)
    trees.remove(data)


@pytest.fixture
def program(settings, monkeypatch):
    """The control plane's place in the machine, with a program that does nothing."""
    described = replace(starting.control_plane(settings), argv=("/bin/sleep", "600"), cwd=settings.data, code=code())
    monkeypatch.setattr(starting, "control_plane", lambda _: described)
    yield described
    daemon.stop(described)


def test_one_that_dies_while_it_is_waited_for_is_followed_by_another(settings, program, monkeypatch):
    dying = daemon.start(program)

    def is_up(_):
        if daemon.find(program) == dying:
            os.kill(dying.pid, signal.SIGKILL)
            return False
        return daemon.is_running(program)

    monkeypatch.setattr(operator_client, "is_up", is_up)
    assert not starting.up(settings).adopted
    assert daemon.find(program) not in {None, dying}


def test_one_that_answers_is_left_alone(settings, program, monkeypatch):
    before = daemon.start(program)
    monkeypatch.setattr(operator_client, "is_up", lambda _: True)
    assert starting.up(settings).adopted
    assert daemon.find(program) == before


def test_one_of_an_earlier_version_is_replaced(settings, program, monkeypatch):
    before = daemon.start(replace(program, code="of another version"))
    monkeypatch.setattr(operator_client, "is_up", lambda _: True)
    assert not starting.up(settings).adopted
    assert daemon.find(program) not in {None, before}


@pytest.mark.usefixtures("program")
def test_one_that_ends_at_its_start_is_not_tried_again(settings, monkeypatch):
    started = []
    start = daemon.start
    monkeypatch.setattr(daemon, "start", lambda process: started.append(start(process)) or started[-1])

    def is_up(_):
        os.kill(started[-1].pid, signal.SIGKILL)
        return False

    monkeypatch.setattr(operator_client, "is_up", is_up)
    with pytest.raises(BrokenError, match="ended right after its start"):
        starting.up(settings)
    assert len(started) == 1
