"""The state file: what a cell must know of its running units when it has been killed and started again.

The supervisor writes it whenever something changes, before a new unit is let run; a new agent reads it once. A process
is taken over only if number, start time and boot all match. It holds no unit's environment or arguments.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import kernel, specs, units

if TYPE_CHECKING:
    from typing import Any


class Record(NamedTuple):
    """One unit with a process, as the state file has it."""

    spec: specs.UnitSpec
    """What the process was started with, without environment and arguments."""
    digest: str
    pid: int
    start: int
    unit: units.UnitState
    last_exit: dict[str, Any] | None
    pipe: int | None = None
    """The inode of its notify pipe; None when it has none, or none any more."""
    beats: bool = False
    """It shows that it lives, so it must go on doing so (`liveness`)."""


def render(records: list[Record], boot: str) -> str:
    """The state file's text."""
    return json.dumps({"boot": boot, "units": [_document(record) for record in records]})


def load(path: str) -> list[Record]:
    """The records of this boot; none when there is no file, or none that can be understood."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if document["boot"] != kernel.boot_id():
            return []
        return [_record(one) for one in document["units"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, specs.RefusedError):
        return []


def _document(record: Record) -> dict[str, Any]:
    return dict(record._asdict(), spec=record.spec.public(), unit=dataclasses.asdict(record.unit))


def _record(document: dict[str, Any]) -> Record:
    """Fields that another version of the cell wrote and this one does not know are left out."""
    known = {field.name for field in dataclasses.fields(units.UnitState)}
    unit = {key: value for key, value in document["unit"].items() if key in known}
    unit["after"] = tuple(unit["after"])
    fields = {key: value for key, value in document.items() if key in Record._fields}
    fields.update(spec=specs.parse(document["spec"]), unit=units.UnitState(**unit))
    return Record(**fields)
