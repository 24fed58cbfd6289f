"""How a session speaks, when nobody listens any more, and what a signal does."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from datetime import UTC, datetime

import pytest

from aerodrome.cli.console import Voice
from aerodrome.cli.dev import interrupts
from aerodrome.cli.dev.output import Mark, Teller

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def teller(file, *, as_json=False):
    return Teller(Voice(file=file, width=40), lambda: NOW, as_json=as_json)


def test_a_pipe_gets_a_line_an_event_and_a_line_a_phase():
    file = io.StringIO()
    one = teller(file)
    for fraction in (0.1, 0.2):
        one.progress("install", "Installing \x1b[31mAirflow.", fraction)
    one.say("failed", Mark.BAD, "X: [no] markup\nbelow it")
    lines = file.getvalue().splitlines()
    assert [line[9:] for line in lines] == ["… Installing  [31mAirflow.", "✗ X: [no] markup", "  below it"]


def test_a_script_gets_a_document_a_line(capsys):
    one = teller(io.StringIO(), as_json=True)
    one.say("parsed", Mark.GOOD, "dags/a.py: a", file="dags/a.py")
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-01T00:00:00.000+00:00", "event": "parsed", "sentence": "dags/a.py: a", "file": "dags/a.py",
    }  # fmt: skip


class Gone(io.StringIO):
    def write(self, _):
        raise BrokenPipeError


def test_when_nobody_listens_a_session_ends_and_ends_in_order(tmp_path, monkeypatch):
    one = teller(Gone())
    # rich leads the descriptor of sys.stdout to nowhere; pytest's own would be lost to all tests that follow.
    with (tmp_path / "stdout").open("w") as stdout, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stdout)
        with pytest.raises(KeyboardInterrupt):
            one.say("note", Mark.NOTE, "x")
    one.say("stopped", Mark.PLAIN, "what is stopped afterwards is stopped all the same")
    one.progress("stop", "x", None)
    one.quiet()


def test_a_signal_interrupts_once_and_never_while_all_is_stopped():
    before = signal.getsignal(signal.SIGTERM)
    with interrupts.interruptible():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        for number in interrupts.NUMBERS:
            os.kill(os.getpid(), number)
    with interrupts.interruptible() as hold_off:
        hold_off()
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) is before
