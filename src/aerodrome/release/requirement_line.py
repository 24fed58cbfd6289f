"""One line of a requirements file that names a package: its name, its text for uv, its hashes. Pure.

`requirements` calls it for each line that is no option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from packaging import requirements as pep508
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from aerodrome.release import locks, url_credentials
from aerodrome.release.failures import REQUIREMENTS_CONFLICT, REQUIREMENTS_INVALID, ReleaseError, at
from aerodrome.release.requirements_text import Line

PLUGINS = "/usr/local/airflow/plugins"
"""Where MWAA unpacks plugins.zip, and where requirements therefore look for wheels and constraints."""

AIRFLOW = "apache-airflow"

_HASH = re.compile(r"\s--hash(?:\s*=\s*|\s+)(\S+)")
_OPTION_AFTER = re.compile(r"\s(--?[A-Za-z][A-Za-z-]*)")


@dataclass(frozen=True)
class Requirement:
    """One requirement or constraint."""

    name: str
    """Normalised (PEP 503)."""

    text: str = field(repr=False)
    """For uv, without hashes; may hold the credentials of an index."""

    file: str
    line: int
    hashes: tuple[str, ...] = ()
    direct: bool = False
    """Whether it names a URL or a file, not versions."""

    @property
    def shown(self) -> str:
        """The text for people."""
        return shown(self.text)


def parsed(line: Line, text: str, *, version: str, constraint: bool) -> Requirement:
    """What the line `text` (variables replaced) asks for in an environment of this (locked) Airflow version."""
    hashes = tuple(_HASH.findall(text))
    bare = _HASH.sub("", text).strip()
    after = _OPTION_AFTER.search(bare)
    if after:
        raise invalid(line, f"the option {after[1]} is not allowed after a requirement; --hash is")
    if any(not re.fullmatch(r"sha(256|384|512):[0-9a-fA-F]{64,128}", each) for each in hashes):
        raise invalid(line, "--hash takes sha256:, sha384: or sha512: and the hexadecimal digits")
    requirement = _requirement(line, bare)
    if requirement.url and constraint:
        raise invalid(line, "a constraint says versions, not a URL")
    name = canonicalize_name(requirement.name)
    if name == AIRFLOW:
        requirement = _airflow(line, requirement, version)
    return Requirement(name, str(requirement), line.file, line.number, hashes, direct=requirement.url is not None)


def _airflow(line: Line, requirement: pep508.Requirement, version: str) -> pep508.Requirement:
    """The requirement of Airflow itself, rewritten to the version that runs (1.10.15 where a line says 1.10.12)."""
    fits = requirement.specifier.contains
    if not requirement.url and any(fits(Version(each), prereleases=True) for each in locks.names(version)):
        requirement.specifier = SpecifierSet(f"=={version}")
        return requirement
    raise ReleaseError(
        f"{at(line.file, line.number)}: {shown(str(requirement))} asks for another Airflow than {version}, which the "
        "environment runs; leave the line out, or update AirflowVersion",
        code=REQUIREMENTS_CONFLICT,
        file=line.file,
        line=line.number,
        package=AIRFLOW,
    )


def _requirement(line: Line, text: str) -> pep508.Requirement:
    try:
        return _checked(line, pep508.Requirement(_with_name(line, text)))
    except RecursionError:
        raise invalid(line, "the line has brackets in brackets without end") from None
    except pep508.InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise invalid(line, f"{shown(text)!r} is no requirement ({shown(why)})") from None


def _with_name(line: Line, text: str) -> str:
    """A bare path or URL of a wheel as `name @ URL`, which says the same."""
    address, semicolon, marker = text.partition(" ;") if " ;" in text else (text, "", "")
    if address.startswith("git+https://"):
        return _repository(line, address.strip()) + (f" ;{marker}" if semicolon else "")
    if not re.match(r"(\.{0,2}/|[a-z+]+://)", address):
        return text
    if not address.startswith((PLUGINS + "/", "file://" + PLUGINS + "/", "http://", "https://")):
        raise invalid(line, f"{shown(address)} is not reached from an environment: "
                             f"put the wheel into plugins.zip as {PLUGINS}/…, or write name @ URL")  # fmt: skip
    file = address.partition("#")[0].rpartition("/")[2]
    try:
        name = parse_wheel_filename(file)[0]
    except InvalidWheelFilename:
        raise invalid(line, f"{shown(address)} names no wheel; write name @ URL") from None
    url = f"file://{address}" if address.startswith("/") else address
    return f"{name} @ {url}{' ' + semicolon.strip() + marker if semicolon else ''}"


def _repository(line: Line, address: str) -> str:
    """A repository's URL with `#egg=name`, as `name @ URL`."""
    url, _, fragment = address.partition("#")
    parts = dict(part.partition("=")[::2] for part in fragment.split("&") if part)
    name = parts.pop("egg", "")
    if not name:
        raise invalid(line, f"{shown(address)} names no package; write name @ git+https://…")
    rest = "&".join(f"{key}={value}" for key, value in parts.items())
    return f"{name} @ {url}{'#' + rest if rest else ''}"


def _checked(line: Line, requirement: pep508.Requirement) -> pep508.Requirement:
    url = requirement.url
    if url is None or url.startswith(("https://", "http://", "git+https://")):
        return requirement
    path = url.removeprefix("file://")
    # uv reads %2e%2e as .. too, and it reads wheels as ourselves.
    if not path.startswith(PLUGINS + "/") or "%" in path or ".." in path.split("/"):
        raise invalid(line, f"{shown(url)} is not reached from an environment; only https:// and {PLUGINS}/… are")
    return requirement


def shown(text: str) -> str:
    """The text for people: bounded, and without an index's credentials."""
    return url_credentials.hide(text)[:200]


def invalid(line: Line, what: str) -> ReleaseError:
    """The refusal of a line."""
    return ReleaseError(
        f"{at(line.file, line.number)}: {what}", code=REQUIREMENTS_INVALID, file=line.file, line=line.number
    )
