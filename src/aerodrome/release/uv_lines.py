"""The lines that uv is given for a user's requirements, and the plan that it answers with. Pure.

`overlay` calls it. MWAA's folder of plugins is the release's own here, and what the base holds stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from aerodrome.release.failures import REQUIREMENTS_CONFLICT, ReleaseError, at
from aerodrome.release.requirements import Requirements
from aerodrome.release.wishes import PLUGINS, Wish

_PLANNED = re.compile(r"^ ([+~-]) ([A-Za-z0-9][A-Za-z0-9._-]*)(?:==(\S+)| @ (\S+))")
_SHOWN = 8


def wished(requirements: Requirements, plugins: Path) -> list[str]:
    """What to resolve."""
    return [_line(_located(wish.text, plugins), wish) for wish in requirements.wishes]


def chosen(requirements: Requirements, plugins: Path, packages: Sequence[tuple[str, str]]) -> list[str]:
    """What to install once names and versions are known."""
    direct = {wish.name: wish for wish in requirements.wishes if wish.direct}
    return [
        _line(
            _located(direct[name].text, plugins) if name in direct else f"{name}=={version}", _place(requirements, name)
        )
        for name, version in packages
    ]


def constraints(requirements: Requirements, base: Mapping[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """The user's own constraints, but those on what the base holds; and a note on these."""
    kept, ignored = [], []
    for wish in requirements.constraints:
        present = base.get(wish.name)
        if present is None:
            kept.append(wish.text)
        elif not wish.text.endswith(f"=={present}"):
            ignored.append(f"{wish.name} {present}")
    if not ignored:
        return kept, ()
    more = f" and {len(ignored) - _SHOWN} more" if len(ignored) > _SHOWN else ""
    held = ", ".join(ignored[:_SHOWN])
    return kept, (f"constraints on packages that Airflow comes with mean nothing; it has {held}{more}",)


def indexes(requirements: Requirements, plugins: Path) -> list[str]:
    """Where to look for packages. May hold credentials."""
    lines = ["--no-index"] if requirements.no_index else []
    if requirements.index is not None:
        lines.append(f"--index-url {requirements.index.text}")
    lines += [f"--extra-index-url {line.text}" for line in requirements.extra_indexes]
    return [*lines, f"--find-links {plugins}"] if requirements.find_links else lines


def planned(lines: Sequence[str], requirements: Requirements, base: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and versions that uv would add. Raises ReleaseError if it would replace one of the base's."""
    matches = [match for line in lines if (match := _PLANNED.match(line))]
    found = [(match[1], canonicalize_name(match[2]), match[3] or _version(match[4])) for match in matches]
    for sign, name, version in found:
        present = base.get(name)
        if present is not None and (sign == "-" or version != present):
            wanted = next(
                (version for sign, other, version in found if sign == "+" and other == name), "another version"
            )
            raise _replaces(name, present, wanted, _place(requirements, name))
    return tuple((name, version) for sign, name, version in found if sign == "+" and name not in base)


def _version(url: str) -> str:
    """The version that the name of a wheel tells; of a source none is known before it is built."""
    try:
        return str(parse_wheel_filename(url.partition("#")[0].rpartition("/")[2])[1])
    except InvalidWheelFilename:
        return "of that URL"


def _replaces(name: str, present: str, wanted: str, wish: Wish | None) -> ReleaseError:
    place = at(wish.file, wish.line) if wish else "requirements.txt"
    return ReleaseError(
        f"{place}: {name} {wanted} would replace {name} {present}, which Airflow comes with",
        code=REQUIREMENTS_CONFLICT,
        file=wish.file if wish else None,
        line=wish.line if wish else None,
        package=name,
    )


def _place(requirements: Requirements, name: str) -> Wish | None:
    return requirements.places.get(name)


def _line(text: str, wish: Wish | None) -> str:
    return " ".join([text, *(f"--hash={value}" for value in (wish.hashes if wish else ()))])


def _located(text: str, plugins: Path) -> str:
    return text.replace(f"file://{PLUGINS}/", f"{plugins.as_uri()}/").replace(f"@ {PLUGINS}/", f"@ {plugins.as_uri()}/")
