"""What a requirements.txt asks for, as far as Aerodrome grants it. Pure: files are read by a function given.

`building` calls `read`; `overlay` hands the result to uv. Everything that is not on the list of allowed options is
refused with its line: an option silently ignored would install something else than the user wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from aerodrome.release import locks, requirements_text, wishes
from aerodrome.release.failures import at
from aerodrome.release.requirements_text import Line
from aerodrome.release.wishes import PLUGINS, Wish, invalid, shown

_DEEPEST = 8
"""Nesting of -r and -c; nobody needs three."""

_MOST_FILES = 50

_CONSTRAINTS_URL = re.compile(
    r"https://(?:raw\.githubusercontent\.com/apache/airflow|github\.com/apache/airflow/raw"
    r"|airflow\.apache\.org)/constraints-([^/\s]+)/constraints(?:-[a-z-]*?)?-(\d+\.\d+)\.txt"
)

_LONG = re.compile(r"(--[A-Za-z][A-Za-z-]*)(?:\s*=\s*|\s+|$)(.*)", re.DOTALL)
_SHORT = re.compile(r"(-[a-zA-Z])\s*(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")

_NAMES = {
    "-r": "--requirement", "-c": "--constraint", "-f": "--find-links", "-i": "--index-url", "-e": "--editable",
    "--requirements": "--requirement", "--constraints": "--constraint", "--pypi-url": "--index-url",
}  # fmt: skip

_ALLOWED = "-r, -c, --find-links, --no-index, --index-url, --extra-index-url, --pre, --hash"

Reader = Callable[[str], bytes | None]
"""Gives a file that is named in requirements: a relative path is one beside requirements.txt, one that begins with
`/usr/local/airflow/` one that MWAA would have there. None = there is none, or it lies elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """All that the files ask for."""

    wishes: tuple[Wish, ...] = ()
    constraints: tuple[Wish, ...] = ()
    index: Line | None = field(default=None, repr=False)
    """--index-url; the text may hold credentials."""

    extra_indexes: tuple[Line, ...] = field(default=(), repr=False)
    no_index: bool = False
    find_links: bool = False
    """Whether wheels are looked for in the plugins as well."""

    prereleases: bool = False
    notes: tuple[str, ...] = ()
    """What was understood otherwise than it was written, in sentences."""

    @cached_property
    def places(self) -> Mapping[str, Wish]:
        """The first wish of each package."""
        return {wish.name: wish for wish in reversed((*self.wishes, *self.constraints))}


def read(
    data: bytes,
    *,
    version: str,
    python: str,
    files: Reader,
    variables: Mapping[str, str] | None = None,
    name: str = "requirements.txt",
) -> Requirements:
    """What the file asks for, for this Airflow version on this line of Python (`3.12`).

    `variables` are what `${NAME}` stands for (those that the startup script exported). Raises ReleaseError, with file
    and line, for what cannot be granted.
    """
    reading = _Reading(version, python, files, variables or {})
    reading.file(data, name, constraint=False, stack=(name,))
    return Requirements(
        wishes=tuple(reading.wishes),
        constraints=tuple(reading.constraints),
        index=reading.index,
        extra_indexes=tuple(reading.extra_indexes),
        no_index=reading.no_index,
        find_links=reading.find_links,
        prereleases=reading.prereleases,
        notes=tuple(dict.fromkeys(reading.notes)),
    )


@dataclass
class _Reading:
    """One reading: what was gathered so far."""

    version: str
    python: str
    files: Reader
    variables: Mapping[str, str]
    wishes: list[Wish] = field(default_factory=list)
    constraints: list[Wish] = field(default_factory=list)
    index: Line | None = None
    extra_indexes: list[Line] = field(default_factory=list)
    no_index: bool = False
    find_links: bool = False
    prereleases: bool = False
    notes: list[str] = field(default_factory=list)
    opened: int = 0

    def file(self, data: bytes, name: str, *, constraint: bool, stack: tuple[str, ...]) -> None:
        self.opened += 1
        for line in requirements_text.lines(data, name):
            text = self._expanded(line)
            if text.startswith("-"):
                self._option(line, text, constraint=constraint, stack=stack)
            else:
                (self.constraints if constraint else self.wishes).append(
                    wishes.parsed(line, text, version=self.version, constraint=constraint)
                )

    def _expanded(self, line: Line) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in self.variables:
                raise invalid(line, f"{found[0]} is exported by no startup script; write its value, or export it there")
            return self.variables[found[1]]

        text = _VARIABLE.sub(value, line.text)
        # uv would expand again, from an environment that is not the user's; and one line must stay one.
        if any(sign in text for sign in ("${", "\\", "\n", "\r")):
            raise invalid(line, "a line must not hold a backslash, nor a variable that is not written ${LIKE_THIS}")
        return text

    def _option(self, line: Line, text: str, *, constraint: bool, stack: tuple[str, ...]) -> None:
        found = (_LONG if text.startswith("--") else _SHORT).match(text)
        if found is None:
            raise invalid(line, f"{shown(text)!r} is no option")
        option, value = _NAMES.get(found[1], found[1]), found[2].strip().strip("\"'")
        if option in {"--requirement", "--constraint"}:
            self._nested(line, value, constraint=constraint or option == "--constraint", stack=stack)
        elif option in {"--index-url", "--extra-index-url"}:
            self._add_index(line, option, value)
        elif option == "--find-links":
            self._links(line, value)
        elif option == "--no-index" and not value:
            self.no_index = True
        elif option == "--pre" and not value:
            self.prereleases = True
        else:
            raise invalid(line, f"the option {option} is not allowed in an environment's requirements; "
                                 f"these are: {_ALLOWED}")  # fmt: skip

    def _add_index(self, line: Line, option: str, value: str) -> None:
        if not re.fullmatch(r"https?://[^\s\"'\\]+", value):
            raise invalid(line, f"{option} takes the URL of a package index (https://…), not {shown(value)!r}")
        told = Line(line.file, line.number, value)
        if option == "--index-url":
            self.index = told
        else:
            self.extra_indexes.append(told)

    def _links(self, line: Line, value: str) -> None:
        if value.removeprefix("file://").rstrip("/") != PLUGINS:
            raise invalid(
                line, f"--find-links may name {PLUGINS} only, where plugins.zip is unpacked; not {shown(value)}"
            )
        self.find_links = True

    def _nested(self, line: Line, value: str, *, constraint: bool, stack: tuple[str, ...]) -> None:
        if "://" in value:
            self._constraints_url(line, value, constraint=constraint)
            return
        if not value:
            raise invalid(line, "the name of a file is missing")
        path = value if value.startswith("/") else _beside(line.file, value)
        if path in stack or len(stack) >= _DEEPEST or self.opened >= _MOST_FILES:
            raise invalid(line, f"{value} is read again and again; a file must not include itself")
        data = None if path is None else self.files(path)
        if path is None or data is None:
            raise invalid(line, f"there is no file {value}; only files beside requirements.txt, "
                                 f"in {PLUGINS} and in /usr/local/airflow/dags can be included")  # fmt: skip
        self.file(data, path, constraint=constraint, stack=(*stack, path))

    def _constraints_url(self, line: Line, value: str, *, constraint: bool) -> None:
        found = _CONSTRAINTS_URL.fullmatch(value)
        if found is None or not constraint:
            raise invalid(line, f"{shown(value)} is not read: put the file beside requirements.txt, or into "
                                 "plugins.zip; only Airflow's own constraints may be named by their URL")  # fmt: skip
        if found[1] not in locks.names(self.version):
            raise invalid(
                line,
                f"these are the constraints of Airflow {found[1]}, and the environment runs {self.version}; "
                f"write constraints-{self.version}, or leave the line out",
            )
        if found[1] != self.version:
            self.notes.append(f"{at(line.file, line.number)}: the constraints are those of Airflow {self.version}, "
                              f"which answers to {found[1]}")  # fmt: skip
        if found[2] != self.python:
            self.notes.append(f"{at(line.file, line.number)}: the constraints are those for Python {self.python}, "
                              f"which the environment runs, not for {found[2]}")  # fmt: skip


def _beside(file: str, value: str) -> str | None:
    """The path of a file named in another, relative to requirements.txt; None when it would lead outside."""
    folder = file.rpartition("/")[0]
    parts: list[str] = []
    for part in (
        f"{folder}/{value}".strip("/").split("/") if not folder.startswith("/") else [folder, *value.split("/")]
    ):
        if part == ".." and (not parts or parts[-1].startswith("/")):
            return None
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts) or None
