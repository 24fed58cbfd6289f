"""Which modules a package offers for import, read from the files that it put into an overlay. It imports nothing."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path, PurePosixPath

from packaging.utils import canonicalize_name

from aerodrome.release import package_records

_NEVER = frozenset({"docs", "examples", "scripts", "test", "tests"})
_DEEPEST = 5
"""How many levels of namespace are followed, as in airflow.providers.microsoft.azure."""


def of(site: Path, packages: Collection[str]) -> dict[str, list[str]]:
    """By package (normalised names): its top-level modules, or those below the namespaces that it shares."""
    found = {}
    for distribution in sorted(site.glob("*.dist-info")):
        name = canonicalize_name(distribution.name.removesuffix(".dist-info").rpartition("-")[0])
        record = distribution / "RECORD"
        if name in packages and record.is_file():
            files = [line.split(",")[0] for line in package_records.text(record).splitlines()]
            found[str(name)] = modules(files)
    return found


def modules(files: Collection[str]) -> list[str]:
    """The importable roots among a package's files. Pure."""
    paths = [PurePosixPath(file) for file in files]
    marked = {path.parent for path in paths if path.name == "__init__.py"}
    found = set()
    for path in paths:
        if path.suffix not in {".py", ".so"} or path.is_absolute() or ".." in path.parts or len(path.parts) > _DEEPEST:
            continue
        root = next((parent for parent in reversed(path.parents) if parent in marked), None)
        parts = root.parts if root is not None else (*path.parts[:-1], path.name.split(".")[0])
        private = any(not part.isidentifier() or part.startswith("_") for part in parts)
        if parts and not private and parts[0] not in _NEVER:
            found.add(".".join(parts))
    return sorted(found)
