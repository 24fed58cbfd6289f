"""The cell's configuration file: where its own files lie, and the units that it must keep.

The agent reads it once and rewrites it on every apply, so that a cell that is started again goes on from it. The file
holds the units' secrets, so it must be ours alone, and it is never half-written.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import cgroups, images, specs

if TYPE_CHECKING:
    from typing import Any

PATHS = ("socket", "state", "pid_file", "log")
MOUNTS = ("views", "linkless", "private", "hides", "writable")


@dataclass(frozen=True)
class Config:
    """A cell's configuration file."""

    path: str
    environment: str
    socket: str
    state: str
    pid_file: str
    log: str
    units: tuple[specs.UnitSpec, ...] = field(repr=False)
    prelude: specs.UnitSpec | None = field(default=None, repr=False)
    """What the nursery runs before units are forked from it; None = no nursery."""
    views: list[list[str]] = field(default_factory=list)
    """Folders, each with a path at which units find it too (see `mounts`)."""
    linkless: list[str] = field(default_factory=list)
    """Of these paths, those in which nobody follows links."""
    private: str | None = None
    """Folder of what units have in the place of /tmp and the like; None = they share these with everybody."""
    hides: bool = False
    """Whether units see no process of others."""
    images: list[images.Image] = field(default_factory=list)
    """The disk images that units find at paths of theirs."""
    writable: list[str] | None = None
    """The folders in which units may make files; None = wherever modes let them."""
    group: cgroups.ControlGroup | None = None
    """The control group below which the cell makes one for each unit; None = there are none."""

    @property
    def lock(self) -> str:
        """The file whose lock says that a cell is alive."""
        return self.state + ".lock"


def read(path: str) -> Config:
    """Reads a cell's configuration file, which must be ours alone (0600). Raises RefusedError."""
    try:
        found = os.stat(path)
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise specs.RefusedError(f"cannot read the cell's configuration {path}: {type(error).__name__}") from error
    private = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
    specs.require(private, f"the configuration {path} must belong to this user with mode 0600")
    specs.require(isinstance(raw, dict), f"the configuration {path} must be an object")
    take = specs.Fields(path, raw)
    paths = {key: take(key, "an absolute path", specs.is_path) for key in PATHS}
    environment = take("environment", "the environment's name", lambda value: isinstance(value, str))
    prelude = None if raw.get("prelude") is None else specs.parse(raw["prelude"])
    views = raw.get("views", [])
    sound = isinstance(views, list) and all(map(_is_view, views))
    specs.require(sound, f"views in {path} must be a list of pairs of absolute paths")
    linkless = raw.get("linkless", [])
    sound = isinstance(linkless, list) and all(map(specs.is_path, linkless))
    specs.require(sound, f"linkless in {path} must be a list of absolute paths")
    private = take("private", "an absolute path or null", lambda value: value is None or specs.is_path(value), None)
    hides = take("hides", "true or false", lambda value: isinstance(value, bool), False)  # noqa: FBT003 - it is the field's default
    shown = images.parse(raw.get("images", []))
    specs.require(shown is not None, f"images in {path} must be a list of disk images")
    writable = raw.get("writable")
    sound = writable is None or (isinstance(writable, list) and all(map(specs.is_path, writable)))
    specs.require(sound, f"writable in {path} must be a list of absolute paths, or null")
    return Config(
        path=path,
        environment=environment,
        units=specs.parse_units(raw.get("units")),
        prelude=prelude,
        views=views,
        linkless=linkless,
        private=private,
        hides=hides,
        images=shown or [],
        writable=writable,
        group=cgroups.parse(raw.get("group")),
        **paths,
    )


def _is_view(found: object) -> bool:
    return isinstance(found, list) and [specs.is_path(path) for path in found] == [True, True]


def write(config: Config) -> None:
    """Writes the configuration file anew, atomically and durably. Raises OSError; then the old file stands."""
    document: dict[str, Any] = {key: getattr(config, key) for key in ("environment", *PATHS, *MOUNTS)}
    document["images"] = images.documents(config.images)
    document["group"] = None if config.group is None else config.group._asdict()
    document["prelude"] = None if config.prelude is None else config.prelude.document()
    document["units"] = [spec.document() for spec in config.units]
    write_atomically(config.path, json.dumps(document), durable=True)


def write_atomically(path: str, text: str, *, durable: bool) -> None:
    """Replaces the file with `text`, mode 0600. `durable` also outlives a power failure."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=str(target.parent), prefix="." + target.name)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(handle)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
