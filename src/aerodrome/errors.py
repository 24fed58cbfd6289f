"""Errors that say who must act: the caller, nobody yet, or a person.

Every error that leaves a room is one of these; its message is a sentence for a person and holds no secret.
"""

from __future__ import annotations

import errno

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Numbers of `OSError`s that pass when somebody makes space."""


class AerodromeError(Exception):
    """The root of all our errors; never raised itself."""


class CallerError(AerodromeError):
    """The caller must change the request; the message names a field, its value, and the fix."""


class NotFoundError(CallerError):
    """What the request names does not exist, or no longer exists."""


class RetryError(AerodromeError):
    """Nobody needs to act: the same step may succeed after `delay` seconds."""

    def __init__(self, message: str, *, delay: float = 1.0) -> None:
        super().__init__(message)
        self.delay = delay


class BrokenError(AerodromeError):
    """A person must act: something is broken, and the message says what and where to look.

    `code` is the word for MWAA's `LastUpdate.Error.ErrorCode`; `tail` has the last useful log lines.
    """

    def __init__(self, message: str, *, code: str = "INTERNAL_FAILURE", tail: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.tail = tail
