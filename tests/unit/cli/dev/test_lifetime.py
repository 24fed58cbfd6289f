"""Who may be at work, and who stops what was started."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from aerodrome.cli import operator_client, starting, stopping
from aerodrome.cli.console import Voice
from aerodrome.cli.dev import lifetime
from aerodrome.cli.dev.output import Teller
from aerodrome.errors import BrokenError, CallerError
from aerodrome.settings import Settings


class Machine:
    """An Aerodrome that is up or not; each start is another process."""

    def __init__(self, settings):
        self.settings = settings
        self.is_up = False
        self.starts = 0

    def up(self, _settings):
        if not self.is_up:
            self.starts += 1
            self.settings.paths.run.mkdir(parents=True, exist_ok=True)
            (self.settings.paths.run / "control-plane.pid").write_text(str(self.starts))
        state = starting.State("http://127.0.0.1:4560", adopted=self.is_up)
        self.is_up = True
        return state

    def down(self, _settings, *, report):
        report("Stopping …")
        self.is_up = False


@pytest.fixture
def machine(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the run folder is there: its own path would be too long
    found = Machine(Settings(data=tmp_path / "data"))
    monkeypatch.setattr(operator_client, "is_up", lambda _: found.is_up)
    monkeypatch.setattr(starting, "up", found.up)
    monkeypatch.setattr(stopping, "down", found.down)
    return found


def session(machine):
    teller = Teller(Voice(file=io.StringIO()), lambda: datetime(2026, 1, 1, tzinfo=UTC), as_json=False)
    return lifetime.running(machine.settings, teller)


def test_what_a_session_started_it_stops(machine):
    with session(machine) as port:
        assert (port, machine.is_up) == (4560, True)
    assert not machine.is_up


def test_what_was_up_before_stays_up(machine):
    machine.up(machine.settings)
    with session(machine):
        pass
    assert machine.is_up


def test_the_last_of_several_sessions_stops_what_one_of_them_started(machine):
    with ExitStack() as second:
        with session(machine):
            second.enter_context(session(machine))
        assert machine.is_up
    assert not machine.is_up


def test_what_a_killed_session_left_running_the_next_one_stops(machine):
    first = session(machine)
    first.__enter__()
    (started,) = (machine.settings.paths.data / "dev").glob("started")
    note = started.read_text()
    first.__exit__(None, None, None)
    started.write_text(note)  # as kill -9 would have left it
    machine.is_up = True
    with session(machine):
        pass
    assert not machine.is_up


def test_what_a_person_started_after_that_stays_up(machine):
    with session(machine):
        started = machine.settings.paths.data / "dev" / "started"
        note = started.read_text()
    started.write_text(note)
    machine.up(machine.settings)  # another process than the one that the note is about
    with session(machine):
        pass
    assert machine.is_up


@pytest.mark.parametrize("error", [KeyboardInterrupt, CallerError("no"), ValueError])
def test_whatever_ends_a_session_it_stops_what_it_started(machine, error):
    with pytest.raises(error if isinstance(error, type) else type(error)), session(machine):
        raise error
    assert not machine.is_up


def test_a_start_that_fails_is_cleared_away(machine, monkeypatch):
    def fail(_):
        machine.is_up = True
        raise BrokenError("it did not answer")

    monkeypatch.setattr(starting, "up", fail)
    with pytest.raises(BrokenError), session(machine):
        pass
    assert not machine.is_up


def test_a_folder_and_an_environment_have_one_session_each(tmp_path):
    settings = Settings(data=tmp_path)
    with lifetime.alone(settings, "shop", "mark-of-shop", tmp_path):
        for environment, mark in (("other", "mark-of-shop"), ("shop", "mark-of-other")):
            with (
                pytest.raises(CallerError, match="Another `aerodrome dev` is at work"),
                lifetime.alone(settings, environment, mark, tmp_path),
            ):
                pass
        with lifetime.alone(settings, "other", "mark-of-other", tmp_path):
            pass
    with lifetime.alone(settings, "shop", "mark-of-shop", tmp_path):
        pass
