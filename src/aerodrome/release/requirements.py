"""What a requirements.txt asks for, as far as Aerodrome grants it. Pure: the caller gives a function that reads files.

`confined_requirements` calls `read`; `overlay` hands the result to uv. An option that does not change what is installed
is ignored, with a note. Any other option that is not on the list is refused with its line: without it something else
than the user wrote would be installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from aerodrome.release import locks, pip_variables, requirement_line, requirements_text, url_credentials
from aerodrome.release.failures import ReleaseError, at
from aerodrome.release.requirement_line import PLUGINS, Requirement, invalid, shown
from aerodrome.release.requirements_text import Line

_DEEPEST = 8
"""Nesting of -r and -c; nobody needs three."""

_MOST_FILES = 50

_CONSTRAINTS_URL = re.compile(
    r"https://(?:raw\.githubusercontent\.com/apache/airflow|github\.com/apache/airflow/raw"
    r"|airflow\.apache\.org)/constraints-([^/\s]+)/constraints(?:-[a-z-]*?)?-(\d+\.\d+)\.txt"
)

_NOTHING = "/dev/null"
"""What people name as constraints if they want none."""

_LONG = re.compile(r"(--[A-Za-z][A-Za-z-]*)(?:\s*=\s*|\s+|$)(.*)", re.DOTALL)
_SHORT = re.compile(r"(-[a-zA-Z])\s*(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")

_NAMES = {
    "-r": "--requirement", "-c": "--constraint", "-f": "--find-links", "-i": "--index-url", "-e": "--editable",
    "-q": "--quiet", "-v": "--verbose", "-U": "--upgrade",
    "--requirements": "--requirement", "--constraints": "--constraint", "--pypi-url": "--index-url",
}  # fmt: skip

_ALLOWED = (
    "-r, -c, -e git+https://…, --find-links, --no-index, --index-url, --extra-index-url, --trusted-host, --pre, "
    "--only-binary, --no-binary, --require-hashes, --hash"
)

_SWITCHES = {"--no-index": "no_index", "--pre": "prereleases", "--require-hashes": "require_hashes"}

_IDLE = frozenset({
    "--default-timeout", "--disable-pip-version-check", "--no-cache-dir", "--no-color", "--no-input",
    "--no-warn-script-location", "--prefer-binary", "--progress-bar", "--quiet", "--retries", "--timeout", "--upgrade",
    "--use-feature", "--use-pep517", "--user", "--verbose",
})  # fmt: skip
"""Options that do not change what is installed here, where wheels are preferred and every folder is new."""

_PACKAGES = re.compile(r"[A-Za-z0-9._,:-]+")
_HOST = re.compile(r"[A-Za-z0-9.\[\]:*-]+")
_URL = re.compile(r"https?://[^\s\"'\\]+")

Reader = Callable[[str], bytes | None]
"""Gives a file that is named in requirements by its path on MWAA. None = there is none, or it lies elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """All that the files, and the startup script's variables for pip, ask for."""

    requested: tuple[Requirement, ...] = ()
    constraints: tuple[Requirement, ...] = ()
    constrained: bool = True
    """Whether Airflow's own constraints hold; False = the file names others, and only essential packages are held."""

    index: Line | None = field(default=None, repr=False)
    """--index-url; the text may hold credentials."""

    extra_indexes: tuple[Line, ...] = field(default=(), repr=False)
    no_index: bool = False
    find_links: tuple[Line, ...] = field(default=(), repr=False)
    """Where wheels are looked for as well: a folder of the plugins as MWAA has it, or a URL."""

    trusted_hosts: tuple[str, ...] = ()
    only_binary: tuple[str, ...] = ()
    no_binary: tuple[str, ...] = ()
    prereleases: bool = False
    require_hashes: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Values that were put in for `${NAME}`, or that the startup script told pip: shown to nobody."""

    notes: tuple[str, ...] = ()
    """What was understood in another way than it was written, in sentences."""

    @cached_property
    def by_name(self) -> Mapping[str, Requirement]:
        """The first requirement of each package."""
        return {requirement.name: requirement for requirement in reversed((*self.requested, *self.constraints))}

    def hide(self, text: str) -> str:
        """The text without secrets."""
        return _hidden(text, self.secrets)


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

    `variables` are the values of `${NAME}`: what the startup script exported, and configuration options by the names of
    their variables. Those for pip are obeyed. Raises ReleaseError, with file and line, for what cannot be granted.
    """
    reading = _Reading(version, python, files, variables or {})
    try:
        reading.variables_of_pip()
        reading.file(data, name, constraint=False, stack=(name,))
    except ReleaseError as error:
        error.args = (_hidden(str(error), reading.secrets), *error.args[1:])
        raise
    reading.comments(data, name)
    return Requirements(
        requested=tuple(reading.requested),
        constraints=tuple(reading.constraints),
        constrained=reading.lifted is None or reading.official,
        index=reading.index,
        extra_indexes=tuple(reading.extra_indexes),
        find_links=tuple(reading.find_links),
        trusted_hosts=tuple(reading.trusted_hosts),
        only_binary=tuple(reading.only_binary),
        no_binary=tuple(reading.no_binary),
        no_index="no_index" in reading.switched,
        prereleases="prereleases" in reading.switched,
        require_hashes="require_hashes" in reading.switched,
        secrets=tuple(reading.secrets),
        notes=tuple(_hidden(note, reading.secrets) for note in dict.fromkeys(reading.notes)),
    )


@dataclass
class _Reading:
    """One reading: what was gathered so far."""

    version: str
    python: str
    files: Reader
    variables: Mapping[str, str]
    requested: list[Requirement] = field(default_factory=list)
    constraints: list[Requirement] = field(default_factory=list)
    index: Line | None = None
    extra_indexes: list[Line] = field(default_factory=list)
    find_links: list[Line] = field(default_factory=list)
    trusted_hosts: list[str] = field(default_factory=list)
    only_binary: list[str] = field(default_factory=list)
    no_binary: list[str] = field(default_factory=list)
    switched: set[str] = field(default_factory=set)
    secrets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    opened: int = 0
    official: bool = False
    """Whether the file names Airflow's own constraints by their address."""

    lifted: str | None = None
    """The place in requirements.txt that names constraints of its own, where there is one."""

    def variables_of_pip(self) -> None:
        """What the startup script told pip."""
        lines, notes = pip_variables.lines(self.variables)
        self.notes += notes
        for line in lines:
            self.secrets += _credentials(line.text)
            self._option(line, line.text, constraint=False, stack=())

    def file(self, data: bytes, name: str, *, constraint: bool, stack: tuple[str, ...]) -> None:
        self.opened += 1
        for line in requirements_text.lines(data, name):
            text = self._expanded(line)
            self.secrets += _credentials(text)
            if text.startswith("-"):
                self._option(line, text, constraint=constraint, stack=stack)
            else:
                self._requirement(line, text, constraint=constraint)

    def comments(self, data: bytes, name: str) -> None:
        """Look for constraints in comments: MWAA only looks for the words, and then no longer applies Airflow's."""
        if self.lifted is None and not self.official:
            found = next((line for line in requirements_text.raw(data, name) if _mentions(line.text)), None)
            if found is None:
                return
            self.lifted = at(found.file, found.number)
        if self.lifted is not None and not self.official:
            self.notes.append(f"{self.lifted}: constraints are named, if only in a comment; so Airflow's own are not "
                              "applied, as on MWAA, and only what Airflow lives on is held")  # fmt: skip

    def _requirement(self, line: Line, text: str, *, constraint: bool) -> None:
        requirement = requirement_line.parsed(line, text, version=self.version, constraint=constraint)
        (self.constraints if constraint else self.requested).append(requirement)

    def _expanded(self, line: Line) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in self.variables:
                raise invalid(line, f"{found[0]} is neither exported by the startup script nor the name of a "
                                     "configuration option that is set; write its value, or set it")  # fmt: skip
            if "://" in line.text:
                self.secrets.append(self.variables[found[1]])
            return self.variables[found[1]]

        text = _VARIABLE.sub(value, line.text)
        # uv would expand it again, from an environment that is not the user's; and one line must stay one line.
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
        elif option == "--editable":
            self._editable(line, value)
        elif option in {"--only-binary", "--no-binary", "--trusted-host"}:
            self._about(line, option, value)
        elif option in _SWITCHES and not value:
            self.switched.add(_SWITCHES[option])
        elif option in _IDLE:
            self.notes.append(f"{at(line.file, line.number)}: {option} has no effect here")
        else:
            raise invalid(line, f"the option {option} is not allowed in an environment's requirements; "
                                 f"these are: {_ALLOWED}")  # fmt: skip

    def _add_index(self, line: Line, option: str, value: str) -> None:
        if not _URL.fullmatch(value):
            raise invalid(line, f"{option} takes the URL of a package index (https://…), not {shown(value)!r}")
        told = Line(line.file, line.number, value)
        if option == "--index-url":
            self.index = told
        else:
            self.extra_indexes.append(told)

    def _links(self, line: Line, value: str) -> None:
        path = value.removeprefix("file://").rstrip("/")
        inside = path == PLUGINS or (path.startswith(PLUGINS + "/") and re.fullmatch(r"(/[A-Za-z0-9._-]+)+", path))
        if ".." in path.split("/") or not (inside or _URL.fullmatch(value)):
            raise invalid(
                line,
                f"--find-links takes {PLUGINS}, where plugins.zip is unpacked, a folder in it, or a URL; "
                f"not {shown(value)}",
            )
        self.find_links.append(Line(line.file, line.number, path if inside else value))

    def _editable(self, line: Line, value: str) -> None:
        if "git+https://" not in value:
            raise invalid(line, f"-e takes git+https://…#egg=name; {shown(value)} is not reached from an environment: "
                                 "put the package into plugins.zip as a wheel")  # fmt: skip
        self._requirement(line, value, constraint=False)
        self.notes.append(
            f"{at(line.file, line.number)}: the package is installed as any other, not as an editable one"
        )

    def _about(self, line: Line, option: str, value: str) -> None:
        if not (_HOST if option == "--trusted-host" else _PACKAGES).fullmatch(value):
            what = "a host" if option == "--trusted-host" else "names of packages, or :all:"
            raise invalid(line, f"{option} takes {what}, not {shown(value)!r}")
        if option == "--trusted-host":
            self.trusted_hosts.append(value)
        else:
            (self.only_binary if option == "--only-binary" else self.no_binary).extend(value.split(","))

    def _nested(self, line: Line, value: str, *, constraint: bool, stack: tuple[str, ...]) -> None:
        if constraint and len(stack) == 1 and self.lifted is None:
            self.lifted = at(line.file, line.number)
        if "://" in value:
            self._constraints_url(line, value, constraint=constraint)
            return
        if not value:
            raise invalid(line, "the name of a file is missing")
        if constraint and value == _NOTHING:
            return
        path = value if value.startswith("/") else _beside(line.file if stack else "", value)
        if path in stack or len(stack) >= _DEEPEST or self.opened >= _MOST_FILES:
            raise invalid(line, f"{value} is read again and again; a file must not include itself")
        data = None if path is None else self.files(path)
        if path is None or data is None:
            raise invalid(line, f"there is no file {value}; only files in {PLUGINS} and in /usr/local/airflow/dags "
                                 "can be included, by these paths: requirements.txt lies alone")  # fmt: skip
        self.file(data, path, constraint=constraint, stack=(*stack, path))

    def _constraints_url(self, line: Line, value: str, *, constraint: bool) -> None:
        found = _CONSTRAINTS_URL.fullmatch(value)
        if found is None or not constraint:
            raise invalid(line, f"{shown(value)} is not read: put the file among the DAGs, or into "
                                 "plugins.zip; only Airflow's own constraints may be named by their URL")  # fmt: skip
        if found[1] not in locks.names(self.version):
            raise invalid(
                line,
                f"these are the constraints of Airflow {found[1]}, and the environment runs {self.version}; "
                f"write constraints-{self.version}, or leave the line out",
            )
        self.official = True
        if found[1] != self.version:
            self.notes.append(f"{at(line.file, line.number)}: the constraints are those of Airflow {self.version}, "
                              f"which answers to {found[1]}")  # fmt: skip
        if found[2] != self.python:
            self.notes.append(f"{at(line.file, line.number)}: the constraints are those for Python {self.python}, "
                              f"which the environment runs, not for {found[2]}")  # fmt: skip


def _mentions(text: str) -> bool:
    return "-c " in text or "--constraint " in text


_SHORTEST_SECRET = 4
"""Letters; a shorter text is no secret, and hiding it would black out half of every sentence."""


def _credentials(text: str) -> list[str]:
    """What stands before the hosts in the URLs of a line, as it is written there, and the passwords alone."""
    return [part for found in url_credentials.found(text) for part in (found, found.partition(":")[2])]


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted({each for each in secrets if len(each) >= _SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


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
