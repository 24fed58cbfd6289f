"""Modules of an overlay that would hide others: Python's own are left out, Airflow's are a conflict.

`overlay` calls it after an installation. An overlay comes first on Python's path, so its module would win. With pip,
and so on MWAA, the standard library wins.
"""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path

from aerodrome.release import package_records
from aerodrome.release.failures import REQUIREMENTS_CONFLICT, ReleaseError, at
from aerodrome.release.installed_packages import InstalledPackages
from aerodrome.release.requirements import Requirements

_IDLE = frozenset({"bin", "docs", "examples", "scripts", "share", "test", "tests", "__pycache__"})
"""Folders that many packages leave behind by mistake; nothing in the base is imported by these names."""


def remove(site: Path, base: InstalledPackages, requirements: Requirements) -> tuple[str, ...]:
    """Take away what hides the standard library, with a note each. Raises ReleaseError for what hides the base's."""
    notes = []
    for entry in sorted(site.iterdir()):
        module = entry.name.split(".")[0]
        if entry.name.endswith((".dist-info", ".data", ".pth")) or module in _IDLE:
            continue
        if module in base.modules:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            notes.append(f"the module {module} is left out, because it is Python's own")
        elif hidden := _hides(entry, base.site / entry.name):
            raise _conflict(site, hidden.relative_to(base.site).as_posix(), requirements)
    paths = sorted(entry.name for entry in site.glob("*.pth"))
    if paths:
        notes.append(f"{', '.join(paths)}: files of this kind are not read")
    return tuple(notes)


def _hides(ours: Path, theirs: Path) -> Path | None:
    """The modules of the version that an import would no longer find."""
    if not ours.is_dir() or not theirs.is_dir():
        return theirs if theirs.exists() and ours.is_file() and not _same(ours, theirs) else None
    mark = ours / "__init__.py"
    if mark.exists():
        same = (theirs / "__init__.py").exists() and _same(mark, theirs / "__init__.py")
        # The same few lines that make a package a namespace may lie in both.
        return None if same and b"extend_path" in mark.read_bytes() else theirs
    below = (_hides(entry, theirs / entry.name) for entry in sorted(ours.iterdir()) if entry.name not in _IDLE)
    return next((found for found in below if found is not None), None)


def _same(ours: Path, theirs: Path) -> bool:
    return theirs.is_file() and filecmp.cmp(ours, theirs, shallow=False)


def _conflict(site: Path, path: str, requirements: Requirements) -> ReleaseError:
    owner = next((d.name.split("-")[0] for d in site.glob("*.dist-info") if _records(d, path)), "a package")
    requirement = requirements.by_name.get(owner.replace("_", "-").lower())
    place = f"{at(requirement.file, requirement.line)}: " if requirement else "requirements.txt: "
    return ReleaseError(
        f"{place}{owner} brings {path}, which Airflow comes with and would no longer find",
        code=REQUIREMENTS_CONFLICT,
        file=requirement.file if requirement else None,
        line=requirement.line if requirement else None,
        package=owner,
    )


def _records(distribution: Path, path: str) -> bool:
    record = distribution / "RECORD"
    if not record.is_file():
        return False
    return any(line.startswith((f"{path},", f"{path}/")) for line in package_records.text(record).splitlines())
