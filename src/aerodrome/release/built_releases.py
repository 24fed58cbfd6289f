"""Built releases on disk: `<releases>/<identifier>/`, written once, never changed, shared between environments.

A folder holds `site/` (packages), `plugins/`, `home/` (what the startup script wrote below AIRFLOW_HOME), `venv/` if it
replaces what Airflow comes with, and `manifest.json`. The manifest is written last: a folder without it is a build that
was broken off. `requirements.txt` and `startup.sh` as they came, and `startup.json` (what the script exported) may hold
secrets, so only we read them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aerodrome import file_locks, private_files, trees
from aerodrome.release.airflow_home import Parts
from aerodrome.release.installation import VENV, Installation
from aerodrome.release.startup import Startup

MANIFEST = "manifest.json"
STARTUP = "startup.json"
PLUGINS = "plugins"
HOME = "home"
REQUIREMENTS = "requirements.txt"
SCRIPT = "startup.sh"


@dataclass(frozen=True)
class Built:
    """A release that was built and tried: its packages can be imported and its plugins load."""

    identifier: str
    folder: Path
    version: str
    """The Airflow version."""

    packages: tuple[tuple[str, str], ...]
    """Names and versions of what it adds to the version's own packages."""

    plugin_names: tuple[str, ...]
    notes: tuple[str, ...]
    """What the user should know although nothing failed."""

    private: bool = False
    """Whether it has a virtual environment of its own, because its packages replace some of the version's."""

    def on(self, installation: Installation) -> Installation:
        """The installation under its packages: the version, or its own virtual environment made from that."""
        return replace(installation, own=self.folder / VENV) if self.private else installation

    @property
    def site(self) -> Path:
        """The packages, for `PATH_VARIABLE`."""
        return self.folder / "site"

    @property
    def programs(self) -> Path:
        """For PATH, behind the version's own."""
        return self.site / "bin"

    @property
    def plugins(self) -> Path:
        return self.folder / PLUGINS

    @property
    def home(self) -> Path | None:
        """What the startup script wrote below AIRFLOW_HOME; None = nothing."""
        return self.parts.home

    @property
    def parts(self) -> Parts:
        """What it has for AIRFLOW_HOME."""
        return parts(self.folder)

    def startup(self) -> Startup:
        """What the startup script exported."""
        return Startup(json.loads((self.folder / STARTUP).read_text(encoding="utf-8")))


def folder(identifier: str, releases: Path) -> Path:
    """Where the release lies; without links in its path, for compiled files name it."""
    return releases.resolve() / identifier


def parts(top: Path) -> Parts:
    """What the release in the folder, which may still be under construction, has for AIRFLOW_HOME."""
    return Parts(
        plugins=top / PLUGINS,
        requirements=_if_there(top / REQUIREMENTS),
        startup=_if_there(top / SCRIPT),
        home=_if_there(top / HOME),
    )


def find(identifier: str, releases: Path) -> Built | None:
    """The release, if it was built. Marks it as used now, because `collect` keeps what was used lately."""
    manifest = folder(identifier, releases) / MANIFEST
    try:
        told = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):
        os.utime(manifest)
    return _built(identifier, releases, told)


def is_whole(identifier: str, releases: Path) -> bool:
    """Whether the release is there with all that every release has; marks nothing."""
    top = folder(identifier, releases)
    return all((top / name).exists() for name in (MANIFEST, STARTUP, PLUGINS))


def finish(identifier: str, releases: Path, *, told: Mapping[str, Any], startup: Startup) -> Built:
    """Declare a filled folder whole. `told` has version, packages, plugin_names and notes, and anything else useful."""
    top = folder(identifier, releases)
    _write(top / STARTUP, {name: dict(found) for name, found in startup.variables.items()}, 0o600)
    _write(top / MANIFEST, dict(told), 0o644)
    return _built(identifier, releases, told)


def begin(identifier: str, releases: Path) -> Path:
    """The empty folder of a release that is to be built; what a build left that was broken off is removed."""
    top = folder(identifier, releases)
    remove(identifier, releases)
    top.mkdir()
    top.chmod(0o755)  # whatever our umask is: units under a uid of their own read it
    return top


def remove(identifier: str, releases: Path) -> None:
    """Remove the folder. It is renamed first, so that a removal that breaks off leaves nothing under the real name."""
    top = folder(identifier, releases)
    grave = top.with_name(f".{identifier}.removed")
    trees.remove(grave)
    with contextlib.suppress(FileNotFoundError):
        top.rename(grave)
        trees.remove(grave)


def held(identifier: str, releases: Path, tick: Callable[[], None]) -> AbstractContextManager[int]:
    """Hold the lock of the release (its descriptor), across processes; `tick` is called while another one has it."""
    return file_locks.held(_lock(identifier, releases), tick)


def held_at_once(identifier: str, releases: Path) -> AbstractContextManager[bool]:
    """The same without waiting: False when another has it."""
    return file_locks.held_at_once(_lock(identifier, releases))


def _if_there(path: Path) -> Path | None:
    return path if path.exists() else None


def _lock(identifier: str, releases: Path) -> Path:
    if not releases.is_dir():
        releases.mkdir(parents=True, exist_ok=True)
        # Units of every environment may pass through it and none may list it: whoever knows a name knows the content.
        releases.chmod(0o711)
    return releases / f".{identifier}.lock"


def _built(identifier: str, releases: Path, told: Mapping[str, Any]) -> Built:
    return Built(
        identifier,
        folder(identifier, releases),
        told["version"],
        tuple((name, version) for name, version in told["packages"]),
        tuple(told["plugin_names"]),
        tuple(told["notes"]),
        told.get("private", False),
    )


def _write(path: Path, document: Mapping[str, Any], mode: int) -> None:
    private_files.write(path, json.dumps(document, indent=2), mode=mode, durable=True)
