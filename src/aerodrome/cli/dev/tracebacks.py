"""Where in a person's own files an error lies: read out of tracebacks and task logs. Pure.

What is read was written by user code and by Airflow of several lines, so every part may be missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 500
"""Characters of an error's own words that are shown."""

_FRAME = re.compile(r'^\s*(?:\|\s*)?File "(?P<file>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
_RAISED = re.compile(r"^(?:\s*\|\s*)?(?P<kind>[A-Za-z_][\w.]*)(?::\s?(?P<said>.*))?$")
_KIND = re.compile(r"(?:Error|Exception|Exit|Interrupt|Timeout|Warning|Failed|[a-z]\.[A-Z]\w+)$")
_OURS = re.compile(r"(?:^|/)(?P<place>dags|plugins)/(?P<path>.+)$")


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong, and where."""

    message: str
    """The exception's name and its words, in one line."""
    file: str | None = None
    """Below the project's folder, such as `dags/sales.py`; None where nothing of it takes part."""
    line: int | None = None

    @property
    def sentence(self) -> str:
        """`dags/sales.py, line 3: ValueError: no`."""
        if self.file is None:
            return self.message
        at = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{at}: {self.message}"


def own_path(path: str) -> str | None:
    """A path inside an environment as one below the project's folder; None for what is not of the project."""
    if "/site-packages/" in path or "/lib/python" in path:
        return None
    found = _OURS.search(path)
    return f"{found['place']}/{found['path']}" if found else None


def of_traceback(text: str) -> Cause | None:
    """The last error of a text in which Python's tracebacks stand; None when there is none."""
    frames = list(_FRAME.finditer(text))
    raised = _raised(text[frames[-1].end() :] if frames else text)
    if raised is None:
        return None
    own = [(path, int(frame["line"])) for frame in frames if (path := own_path(frame["file"]))]
    return Cause(raised, *own[-1]) if own else Cause(raised)


def of_log(entries: Any) -> Cause | None:
    """The error that ended a task, out of what Airflow's REST API gives as its log; None when none is found."""
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        structured = [cause for entry in entries if isinstance(entry, Mapping) if (cause := _of_details(entry))]
        if structured:
            return structured[-1]
        return of_traceback("\n".join(_lines(entries)))
    if isinstance(entries, str):
        # Airflow 2 writes a list of pairs as Python would, with its line ends escaped.
        return of_traceback(entries.replace("\\n", "\n"))
    return None


def _lines(entries: Iterable[Any]) -> list[str]:
    return [str(entry.get("event", "")) if isinstance(entry, Mapping) else str(entry) for entry in entries]


def _of_details(entry: Mapping[str, Any]) -> Cause | None:
    """The cause of an entry with Airflow 3's `error_detail`: exceptions, the one that was raised first."""
    details = entry.get("error_detail")
    if not isinstance(details, list) or not details or not isinstance(details[0], Mapping):
        return None
    raised = details[0]
    message = _one_line(f"{raised.get('exc_type') or 'Exception'}: {raised.get('exc_value') or ''}".rstrip(": "))
    frames = raised.get("frames")
    own: list[tuple[str, int | None]] = []
    for frame in frames if isinstance(frames, list) else ():
        path = own_path(str(frame.get("filename", ""))) if isinstance(frame, Mapping) else None
        if path is not None:
            line = frame.get("lineno")
            own.append((path, line if isinstance(line, int) else None))
    return Cause(message, *own[-1]) if own else Cause(message)


def _raised(text: str) -> str | None:
    """The line that names the exception: after a traceback's last frame, the first that is not indented."""
    for line in text.splitlines():
        found = _RAISED.match(line)
        if found and (found["said"] is not None or _KIND.search(found["kind"])):
            return _one_line(line.strip(" |"))
    return None


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
