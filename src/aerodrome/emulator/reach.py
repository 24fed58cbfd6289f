"""Which buckets SQL may read: those that its caller may read, as the door says with each request.

The SQL of Athena and Redshift names objects in its text, which no IAM check reads. `__main__` sets it for each request;
what is started for the request (a task, a thread, a statement) has it too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QueryReach:
    """What SQL may read."""

    buckets: frozenset[str]
    folders: list[str] = field(default_factory=list)
    """Copies of objects that were made for the query."""

    def check(self, bucket: str) -> None:
        """Return when the bucket may be read.

        Raises:
            PermissionError: it may not; the sentence is for who asked.
        """
        if bucket not in self.buckets:
            raise PermissionError(
                f"Access denied: SQL reads objects with the rights of who asks, and needs s3:GetObject on all of "
                f"arn:aws:s3:::{bucket}/*"
            )


_reach: ContextVar[QueryReach | None] = ContextVar("reach", default=None)


@contextlib.contextmanager
def within(reach: QueryReach | None) -> Iterator[None]:
    """In the block, and in what it starts, SQL reads no more; None: everything, where no door stands before us."""
    token = _reach.set(reach)
    try:
        yield
    finally:
        _reach.reset(token)


def current() -> QueryReach | None:
    """What SQL may read here; None: everything."""
    return _reach.get()
