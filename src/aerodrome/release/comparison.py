"""Which import errors of a new release are new: those that the running release does not have. Pure.

The backends compare what `verification` found under both; `aerodrome check` has nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from aerodrome.release.failures import DAG_IMPORT_FAILED, ReleaseError, at

_NAMED = 5
"""Files that one message names."""


@dataclass(frozen=True)
class ImportFailure:
    """One piece of user code that fails."""

    file: str
    """Relative to its folder."""

    line: int | None
    """In that file, where known."""

    kind: str
    """The exception's name."""

    message: str
    trace: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        said = [part for part in (self.kind, self.message.partition("\n")[0]) if part]
        return ": ".join([at(self.file, self.line), *said])


def news(
    found: Sequence[ImportFailure],
    before: Sequence[ImportFailure],
    broken: Collection[str] | None = None,
) -> tuple[ImportFailure, ...]:
    """The failures that the new release brings.

    Args:
        found: under the new release.
        before: under the running one, tried in the same way.
        broken: files that fail in the running environment itself, where that is known. A file that fails there may fail
            in any way. A file that fails only in a trial, which lacks variables that it needs, may fail only as before.
    """
    failed = {failure.file for failure in before} if broken is None else set(broken)
    same = {(failure.file, failure.kind, failure.message) for failure in before}
    return tuple(
        failure
        for failure in found
        if failure.file not in failed and (failure.file, failure.kind, failure.message) not in same
    )


def refusal(failures: Sequence[ImportFailure]) -> ReleaseError | None:
    """The error that names the files; None when there is nothing to refuse."""
    if not failures:
        return None
    first = failures[0]
    more = "" if len(failures) == 1 else f" (and {len(failures) - 1} more)"
    told = tuple(failure.sentence for failure in failures[1:_NAMED])
    return ReleaseError(
        f"{first.sentence}{more}",
        code=DAG_IMPORT_FAILED,
        file=first.file,
        line=first.line,
        tail=(*told, *first.trace[-10:]),
    )
