"""What a release's own packages bring, and whether a process that has imported Airflow without them can have them now.

The process noted what it asked for (`inside/aerodrome_unit/asked_for`). A release that replaces a package of the
version has a virtual environment of its own, and comes here never.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from aerodrome.airflow.inside.aerodrome_unit import asked_for

NOBODYS = frozenset(
    """
    array_api console_scripts distutils.commands distutils.setup_keywords egg_info.writers gui_scripts
    pandas_plotting_backends pyinstaller40 pytest11 setuptools.finalize_distribution_options
    """.split()  # noqa: SIM905 - ten quoted words are harder to read
)
"""Groups of entry points that no process of Airflow looks into when it starts: those of scripts and of other programs.
"""

_MODULE = re.compile(r"([^\W\d]\w*)(?:\..*)?\.(?:py|so|pyd)")
_DEEPEST = 6
"""Levels of namespace packages that are looked into."""


@dataclass(frozen=True)
class AddedPackages:
    """What the packages in a release's folder bring."""

    names: frozenset[str] = frozenset()
    """Of the packages, normalised."""

    modules: frozenset[str] = frozenset()
    """Modules, and packages with a file, that are not themselves in one of these: `pandas`, `google.cloud.storage`."""

    entry_points: frozenset[str] = frozenset()
    """Groups of entry points."""


@dataclass(frozen=True)
class AskedNames:
    """What a process has asked for, as it wrote it down."""

    modules: Collection[str]
    namespaces: Collection[str]
    packages: Collection[str]


def objection(added: AddedPackages, asked: AskedNames) -> str:
    """Why the packages cannot be added to the process any more; empty = they can."""
    for module in sorted(added.modules):
        taken = next((name for name in _ways(module) if name in asked.modules and not _grows(name, module, asked)), "")
        if taken:
            return f"its requirements bring the module {module}, and {taken} was asked for before"
    for name in sorted(added.names):
        if name in asked.packages:
            return f"its requirements bring {name}, which was asked for before"
    groups = sorted(added.entry_points - NOBODYS)
    if groups and asked_for.ALL in asked.packages:
        return f"its requirements bring entry points of {groups[0]}, and all packages were looked through before"
    return ""


def look(site: Path | None) -> AddedPackages:
    """What the packages in the folder bring; None = there is none."""
    if site is None:
        return AddedPackages()
    infos = [entry for entry in site.iterdir() if entry.name.endswith(".dist-info")]
    return AddedPackages(
        names=frozenset(
            str(canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0])) for info in infos
        ),
        modules=frozenset(_modules(site, "", _DEEPEST)),
        entry_points=frozenset(group for info in infos for group in _groups(info / "entry_points.txt")),
    )


def _ways(module: str) -> Iterator[str]:
    """The module, and the packages that it is in, the outermost first."""
    parts = module.split(".")
    return (".".join(parts[: number + 1]) for number in range(len(parts)))


def _grows(name: str, module: str, asked: AskedNames) -> bool:
    """Whether Python finds more modules in what it has of that name, as soon as there is another folder of it."""
    return name != module and name in asked.namespaces


def _modules(folder: Path, prefix: str, deepest: int) -> Iterator[str]:
    for entry in folder.iterdir():
        found = _MODULE.fullmatch(entry.name)
        if entry.is_dir():
            if not entry.name.isidentifier() or entry.name == "__pycache__":
                continue
            if deepest == 0 or next(entry.glob("__init__.*"), None) is not None:
                yield prefix + entry.name
            else:
                yield from _modules(entry, f"{prefix}{entry.name}.", deepest - 1)
        elif found:
            yield prefix + found[1]


def _groups(file: Path) -> list[str]:
    try:
        return re.findall(r"(?m)^\[(.+)\]\s*$", file.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return []
