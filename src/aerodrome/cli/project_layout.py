"""Where a project's files lie in its folder, for `aerodrome check` and `aerodrome dev`.

It knows the layouts of MWAA's own local runner and of Astro's projects. It reports files that have no place in an MWAA
environment. `of` is pure; `look` reads the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType

DAGS = ("dags",)
REQUIREMENTS = ("requirements.txt", "requirements/requirements.txt")
PLUGINS = ("plugins.zip", "plugins")
STARTUP = ("startup.sh", "startup_script/startup.sh")
"""In the order in which they are looked for; the first that is there is taken."""

INCLUDE = "include"
"""Astro's folder for modules and files that DAGs use."""

INCLUDE_AMONG_DAGS = "dags/include"

UNTAKEN = MappingProxyType({
    "packages.txt": "it names packages of an operating system; install them on this machine",
    "airflow_settings.yaml": "make its connections, variables and pools in Airflow's UI; they are kept",
    "Dockerfile": "no image is built; requirements.txt and startup.sh say what is in an environment",
    "docker-compose.override.yml": "no containers are run",
    "docker-compose.yml": "no containers are run",
    ".env": "export variables in startup.sh, as on MWAA",
    "airflow.cfg": "give options by --set, such as --set core.parallelism=8",
})  # fmt: skip
"""Other files that projects have → why they are not uploaded, and what to do."""


class PathKind(Enum):
    """What a name is."""

    FILE = "file"
    FOLDER = "folder"


CANDIDATES = (*DAGS, *REQUIREMENTS, *PLUGINS, *STARTUP, INCLUDE, INCLUDE_AMONG_DAGS, *UNTAKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is taken from a folder, by path below it; None = there is no such thing."""

    dags: str | None = None
    include: str | None = None
    """Uploaded as the folder `include` among the DAGs, so that `from include…` works."""

    requirements: str | None = None
    plugins: str | None = None
    """A plugins.zip, or a folder that one is made of."""

    startup: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to run."""
        return not (self.dags or self.requirements or self.plugins or self.startup)


def of(kinds: Mapping[str, PathKind]) -> Layout:
    """The layout of a folder that has these of the candidates. Pure."""
    notes: list[str] = []

    def first(places: tuple[str, ...], *allowed: PathKind) -> str | None:
        there = [place for place in places if kinds.get(place) in allowed]
        notes.extend(f"{place} is not taken: {there[0]} counts more" for place in there[1:])
        return there[0] if there else None

    plugins = first(("plugins.zip",), PathKind.FILE) or first(("plugins",), PathKind.FOLDER)
    if plugins == "plugins.zip" and kinds.get("plugins") is PathKind.FOLDER:
        notes.append("plugins is not taken: plugins.zip counts more")
    include = INCLUDE if kinds.get(INCLUDE) is PathKind.FOLDER else None
    if include and INCLUDE_AMONG_DAGS in kinds:
        notes.append(f"{INCLUDE} is not taken: there is {INCLUDE_AMONG_DAGS}, which would lie in the same place")
        include = None
    elif include:
        notes.append(
            "include is brought as dags/include: `from include…` works, and the path /usr/local/airflow/include "
            "does not exist"
        )
    notes += [f"{name} is not taken: {why}" for name, why in UNTAKEN.items() if kinds.get(name) is PathKind.FILE]
    return Layout(
        dags=first(DAGS, PathKind.FOLDER),
        include=include,
        requirements=first(REQUIREMENTS, PathKind.FILE),
        plugins=plugins,
        startup=first(STARTUP, PathKind.FILE),
        notes=tuple(notes),
    )


def look(folder: Path) -> Layout:
    """The layout of a folder on disk."""
    kinds: dict[str, PathKind] = {}
    for name in CANDIDATES:
        path = folder / name
        if path.is_dir():
            kinds[name] = PathKind.FOLDER
        elif path.is_file():
            kinds[name] = PathKind.FILE
    return of(kinds)
