"""Long orders in threads: each tells how it ended, so that nobody waits for ever."""

from __future__ import annotations

import errno
import threading

import pytest

from aerodrome.backends.jobs import Jobs
from aerodrome.errors import BrokenError, RetryError
from aerodrome.model.observed import Work
from aerodrome.model.orders import Archive, Build
from waiting import LIMIT

ENDS = [
    (OSError(errno.ENOSPC, "No space left on device"), RetryError),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), RetryError),
    (OSError(errno.EACCES, "Permission denied"), BrokenError),
    (KeyError("any"), BrokenError),
    (SystemExit(3), BrokenError),
    (BrokenError("Known.", code="KNOWN"), BrokenError),
]


@pytest.mark.parametrize(("raised", "told"), ENDS)
def test_what_a_step_ends_with_is_told_once_and_it_can_be_begun_again(raised, told):
    jobs = Jobs()

    def run(_):
        raise raised

    jobs.begin("one", 2, Build, run)
    jobs._jobs["one"].ended.wait(LIMIT)
    assert jobs.seen("one", 2, [Archive]) is None  # it is not theirs to hear
    with pytest.raises(told):
        jobs.seen("one", 2, [Build])
    assert jobs.seen("one", 2, [Build]) is None


def test_work_begins_when_what_it_replaces_has_ended():
    jobs, go, told = Jobs(), threading.Event(), []

    def first(job):
        job.cancelled.wait(LIMIT)
        go.wait(LIMIT)
        told.append("first ended")
        job.check()

    def second(_):
        told.append("second began")
        return Work(order=Archive, done=True)

    jobs.begin("one", 2, Build, first)
    jobs.begin("one", 3, Archive, second)
    job = jobs._jobs["one"]
    assert not job.ended.is_set()
    go.set()
    assert job.ended.wait(LIMIT)
    assert told == ["first ended", "second began"]
    assert jobs.seen("one", 3, [Archive]) == Work(order=Archive, done=True)


def test_work_that_is_given_up_while_it_waits_never_begins():
    jobs, told = Jobs(), []
    go = threading.Event()
    jobs.begin("one", 2, Build, lambda _: go.wait(LIMIT))
    jobs.begin("one", 3, Archive, lambda _: told.append("began"))
    job = jobs._jobs["one"]
    jobs.close()
    go.set()
    assert job.ended.wait(LIMIT)
    assert told == []
