from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from aerodrome import trees
from aerodrome.keeper import Keeper
from aerodrome.services import daemon, heartbeat, program
from aerodrome.services.daemon import Daemon
from aerodrome.settings import Settings


def test_a_service_that_hangs_is_ended_and_one_that_beats_is_not(tmp_path):
    keeper, beat = Keeper(Settings(data=tmp_path)), tmp_path / "beat"
    process = Daemon(
        name="service",
        argv=("/bin/sleep", "600"),
        env={},
        cwd=tmp_path,
        log=tmp_path / "log",
        pid_file=tmp_path / "pid",
    )
    daemon.start(process)
    try:
        for _ in range(2 * heartbeat.LOOKS):
            heartbeat.begin(beat)
            keeper._end_if_it_hangs(process, beat)
        assert daemon.is_running(process)
        heartbeat.begin(beat, lambda: time.monotonic() - heartbeat.SILENCE - 1)
        for _ in range(heartbeat.LOOKS):
            assert daemon.is_running(process)
            keeper._end_if_it_hangs(process, beat)
        assert not daemon.is_running(process)
    finally:
        daemon.stop(process)


def test_a_door_that_starts_slowly_is_not_ended_for_the_silence_of_one_that_was_killed(monkeypatch, request):
    data = Path(tempfile.mkdtemp(prefix="aero-"))  # short, so that its sockets lie below it
    request.addfinalizer(lambda: trees.remove(data))
    keeper = Keeper(Settings(data=data, aws_port=4561))
    (data / "run").mkdir()
    heartbeat.begin(keeper._door_beat(), lambda: time.monotonic() - heartbeat.SILENCE - 1)
    silent: list[float] = []
    monkeypatch.setattr(daemon, "start", lambda _: silent.append(heartbeat.silent(keeper._door_beat())))
    monkeypatch.setattr(daemon, "wait_until", lambda *_: None)
    keeper._open_door()
    assert silent == [0.0]


@pytest.mark.parametrize("is_updated", [False, True])
def test_services_of_an_earlier_version_are_replaced_and_others_adopted(monkeypatch, request, is_updated):
    data = Path(tempfile.mkdtemp(prefix="aero-"))
    request.addfinalizer(lambda: trees.remove(data))
    keeper = Keeper(Settings(data=data, aws_port=4561))
    before = {}
    for service in (keeper._door(), keeper._logs(), keeper._daemon(keeper._emulator())):
        sleeping = replace(service, argv=("/bin/sleep", "600"), confinement=None, cwd=data)
        request.addfinalizer(partial(daemon.stop, sleeping))
        before[service.name] = daemon.start(sleeping)
    if is_updated:
        monkeypatch.setattr(program, "code", lambda: "of another version")
    found = {}
    monkeypatch.setattr(daemon, "start", lambda process: found.setdefault(process.name, daemon.find(process)))
    monkeypatch.setattr(daemon, "wait_until", lambda *_: None)
    keeper._open_door()
    keeper._start_logs()
    keeper._start_emulator()
    assert found == (dict.fromkeys(before) if is_updated else before)


def test_the_door_trusts_the_authorities_that_the_control_plane_trusts(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/own-authority.pem")
    monkeypatch.setenv("SECRET", "x")
    found = Keeper(Settings(data=tmp_path))._door().env
    assert found["SSL_CERT_FILE"] == "/etc/own-authority.pem"
    assert "SECRET" not in found
