"""What differs between two revisions. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aerodrome.errors import CallerError

Document = Mapping[str, Any]


def chosen(revisions: Sequence[Document], before: int | None, after: int | None) -> tuple[Document, Document]:
    """The two revisions to compare; without numbers, the one that runs and the one that was applied before it.

    Raises:
        CallerError: there is no revision of that number, or no earlier one.
    """
    known = {each["number"]: each for each in revisions}
    for number in (before, after):
        if number is not None and number not in known:
            raise CallerError(f"There is no revision {number}: choose one of {', '.join(map(str, known))}.")
    last = known[after] if after is not None else next((each for each in revisions if each["runs"]), revisions[-1])
    if before is not None:
        return known[before], last
    earlier = [each for each in revisions if each["outcome"] == "APPLIED" and each["number"] < last["number"]]
    if not earlier:
        raise CallerError(f"No revision was applied before {last['number']}: name two to compare.")
    return earlier[-1], last


def differences(before: Document, after: Document) -> list[dict[str, Any]]:
    """Each member that differs, nested ones by a path such as `AirflowConfigurationOptions.core.parallelism`."""
    flat = [dict(_flat(document)) for document in (before, after)]
    return [
        {"member": member, "before": flat[0].get(member), "after": flat[1].get(member)}
        for member in sorted({*flat[0], *flat[1]})
        if flat[0].get(member) != flat[1].get(member)
    ]


def _flat(document: Document, prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in document.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return found
