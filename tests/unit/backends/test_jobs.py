"""Long steps in threads: whatever they end with is told, so that nobody waits for ever."""

from __future__ import annotations

import errno

import pytest

from aerodrome.backends.jobs import Jobs
from aerodrome.errors import BrokenError, RetryError
from aerodrome.model.orders import Archive, Build

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
    jobs._jobs["one"].ended.wait(20)
    assert jobs.seen("one", 2, [Archive]) is None  # it is not theirs to hear
    with pytest.raises(told):
        jobs.seen("one", 2, [Build])
    assert jobs.seen("one", 2, [Build]) is None
