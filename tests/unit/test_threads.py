"""Supervised threads: one is started again after an error; one that hangs is told, once."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import threads
from aerodrome.threads import SupervisedThread, ThreadReport, ThreadSupervisor, news

WAIT = 20.0


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(threads, "SHORTEST_PAUSE", 0.001)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SystemExit(1), KeyboardInterrupt()])
def test_work_that_ends_by_an_error_is_begun_anew(error):
    done, ends = threading.Event(), []

    def work():
        if len(ends) < 3:
            ends.append(error)
            raise error
        done.set()

    kept = SupervisedThread("any", work)
    kept.start()
    assert done.wait(WAIT)
    kept.join(WAIT)
    assert (kept.falls, kept.reason.split(":")[0]) == (3, type(error).__name__)


def test_work_that_returns_is_over():
    calls = []
    kept = SupervisedThread("any", lambda: calls.append(1))
    kept.start()
    kept.join(WAIT)
    assert (calls, kept.falls) == ([1], 0)


def test_a_thread_that_shall_end_is_not_begun_anew(monkeypatch):
    monkeypatch.setattr(threads, "SHORTEST_PAUSE", 3600.0)
    failed = threading.Event()

    def work():
        failed.set()
        raise OSError

    kept = SupervisedThread("any", work)
    kept.start()
    assert failed.wait(WAIT)
    kept.join(WAIT)
    assert not kept._thread.is_alive()


@given(st.integers(1, 10_000))
def test_the_pause_grows_to_its_bound(failures):
    assert 0 < threads.pause(failures) <= threads.pause(failures + 1) <= threads.LONGEST_PAUSE


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 200)), max_size=30))
def test_each_end_and_each_hang_is_told_once(steps):
    known, falls, told = ThreadReport(), 0, []
    for more, quiet in steps:
        falls += more
        found = news("any", known, falls=falls, reason="why", quiet=quiet, patience=60)
        told += [each.kind for each in found]
        known = ThreadReport(falls=falls, hung=quiet > 60)
        assert news("any", known, falls=falls, reason="why", quiet=quiet, patience=60) == []
    hangs = [kind for kind in told if kind != "THREAD_RESTARTED"]
    assert hangs == (["THREAD_HUNG", "THREAD_MOVES"] * len(hangs))[: len(hangs)]
    assert told.count("THREAD_RESTARTED") == sum(more > 0 for more, _ in steps)


def test_what_cannot_be_told_is_told_later():
    told, away = [], [True]

    def tell(one):
        if away[0]:
            raise OSError("away")
        told.append(one.kind)

    kept = SupervisedThread("any", lambda: None, patience=10)
    crew = ThreadSupervisor([kept], tell)
    with pytest.raises(OSError, match="away"):
        crew.look(kept._beat_at + 11)
    assert crew.hung() == ["any"]
    away[0] = False
    kept.falls = 1
    crew.look(kept._beat_at + 12)
    crew.look(kept._beat_at + 1)
    assert told == ["THREAD_HUNG", "THREAD_RESTARTED", "THREAD_MOVES"]
    assert crew.hung() == []
