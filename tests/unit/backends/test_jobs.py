"""Long steps in threads: whatever they end with is told, so that nobody waits for ever."""

from __future__ import annotations

import errno

import pytest

from aerodrome.backends.contract import Step
from aerodrome.backends.local.jobs import Jobs
from aerodrome.errors import BrokenError, RetryError

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

    jobs.begin("one", 2, Step.RELEASE, run)
    jobs._jobs["one"].ended.wait(20)
    with pytest.raises(told):
        jobs.seen("one", 2)
    assert jobs.seen("one", 2) is None
