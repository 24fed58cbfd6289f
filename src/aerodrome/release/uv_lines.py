"""The lines that uv is given for a user's requirements, and the plan that it answers with. Pure.

`overlay` calls it. The release's plugins take the place of MWAA's folder of plugins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from aerodrome.release.essential_packages import OF_A_URL
from aerodrome.release.requirement_line import PLUGINS, Requirement
from aerodrome.release.requirements import Requirements

_PLANNED = re.compile(r"^ ([+~-]) ([A-Za-z0-9][A-Za-z0-9._-]*)(?:==(\S+)| @ (\S+))")
_SHOWN = 8


def to_resolve(requirements: Requirements, plugins: Path) -> list[str]:
    """The lines to resolve."""
    return [_line(_located(requirement.text, plugins), requirement) for requirement in requirements.requested]


def to_install(requirements: Requirements, plugins: Path, packages: Sequence[tuple[str, str]]) -> list[str]:
    """The lines to install once names and versions are known."""
    direct = {requirement.name: requirement for requirement in requirements.requested if requirement.direct}
    return [
        _line(
            _located(direct[name].text, plugins) if name in direct else f"{name}=={version}", _place(requirements, name)
        )
        for name, version in packages
    ]


def constraints(requirements: Requirements, held: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """The user's own constraints, without those on packages that stay as they are (`held`); and a note on these."""
    kept, ignored = [], []
    for requirement in requirements.constraints:
        present = held.get(requirement.name)
        if present is None:
            kept.append(requirement.text)
        elif not requirement.text.endswith(f"=={present}"):
            ignored.append(f"{requirement.name} {present}")
    if not ignored:
        return kept, ()
    more = f" and {len(ignored) - _SHOWN} more" if len(ignored) > _SHOWN else ""
    named = ", ".join(ignored[:_SHOWN])
    return kept, (f"constraints on packages that Airflow comes with mean nothing; it has {named}{more}",)


def indexes(requirements: Requirements, plugins: Path, *, public: bool = False) -> list[str]:
    """Where to look for packages. May hold credentials; `public`: only what does not, and no index (`uv_secrets`)."""
    lines = ["--no-index"] if requirements.no_index else []
    if not public:
        lines += [f"--index-url {requirements.index.text}"] if requirements.index is not None else []
        lines += [f"--extra-index-url {line.text}" for line in requirements.extra_indexes]
    places = [line.text for line in requirements.find_links if not public or "@" not in line.text]
    return [*lines, *(f"--find-links {plugins}{place.removeprefix(PLUGINS)}" if place.startswith(PLUGINS)
                      else f"--find-links {place}" for place in places)]  # fmt: skip


def planned(lines: Sequence[str], base: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """Names and versions of what uv would install, and which packages of the version would have to go."""
    matches = [match for line in lines if (match := _PLANNED.match(line))]
    found = [(match[1], str(canonicalize_name(match[2])), match[3] or _version(match[4])) for match in matches]
    gone = frozenset(name for sign, name, version in found if name in base and (sign == "-" or version != base[name]))
    return {name: version for sign, name, version in found if sign == "+" and (name in gone or name not in base)}, gone


def _version(url: str) -> str:
    """The version in the name of a wheel; a source's version is not known before it is built."""
    try:
        return str(parse_wheel_filename(url.partition("#")[0].rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return OF_A_URL


def _place(requirements: Requirements, name: str) -> Requirement | None:
    return requirements.by_name.get(name)


def _line(text: str, requirement: Requirement | None) -> str:
    return " ".join([text, *(f"--hash={value}" for value in (requirement.hashes if requirement else ()))])


def _located(text: str, plugins: Path) -> str:
    return text.replace(f"file://{PLUGINS}/", f"{plugins.as_uri()}/").replace(f"@ {PLUGINS}/", f"@ {plugins.as_uri()}/")
