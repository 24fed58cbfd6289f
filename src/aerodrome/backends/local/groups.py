"""The control groups of this installation: one for all of it, one for each environment, one for each of its cells.

    aerodrome-<hash>  →  <environment's id>  →  <revision> or services  →  cell, worker-1, … (made by the cell)
    aerodrome-<hash>-aws: the embedded AWS emulator, which no environment's limit touches

Where they are is written down in the run folder, because a later control plane may be started in another place of the
machine's tree. Where the machine gives us none, everything works without them, and `trouble` says why there are none.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil
import structlog

from aerodrome import private_files
from aerodrome.backends.local import disk_images
from aerodrome.backends.local.paths import ZONES, CellPaths, part
from aerodrome.cell import cgroups
from aerodrome.cell.cgroups import ControlGroup, Limits
from aerodrome.model import limits
from aerodrome.model.classes import EnvironmentClass
from aerodrome.model.limits import Enforcement
from aerodrome.services import folders
from aerodrome.settings import Paths

SERVICES = "services"
"""The group of the services' cell."""

WEIGHT_AMONG_PROCESSES = 100
"""Of all environments together in version 1, where what competes with them are the processes beside their group.

Each of these weighs as much. Among them are PostgreSQL, the AWS door and the control plane, which every environment
waits for: with a larger weight, one that takes all the processors it gets would slow them, and so its neighbours.
"""

log = structlog.get_logger("groups")


class Groups:
    """The groups of one installation, made when they are first needed."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._making = threading.Lock()
        self._top: ControlGroup | None = None
        self._is_made = False
        self.trouble = ""
        """Why there are no groups; empty = there are, or nobody has asked for them yet."""
        self._memory: int | None = None
        self.lighter: frozenset[str] = frozenset()
        """The environments that weigh less than their classes say."""

    @property
    def memory(self) -> int:
        """Bytes of memory of the machine, or of as much of it as we may have."""
        if self._memory is None:
            total, (found, _) = int(psutil.virtual_memory().total), cgroups.here()
            self._memory = min(total, (cgroups.bound(found) if found else None) or total)
        return self._memory

    def top(self) -> ControlGroup | None:
        """The group of the installation; None = there are no groups."""
        with self._making:
            if not self._is_made or (self._top is not None and not cgroups.exists(self._top)):
                self._top, self.trouble = _made(self._paths, self.memory)
                self._is_made = True
                if self.trouble:
                    log.warning("no control groups", reason=self.trouble)
            return self._top

    def of_environment(self, identifier: str) -> ControlGroup | None:
        """The group of an environment, which is made with its first cell."""
        top = self.top()
        return None if top is None else top.below(identifier)

    def for_cell(self, identifier: str, revision: int | None, place: int = 0) -> ControlGroup | None:
        """The group that a part of the cell of a revision (None = of the services) is to be started in; it is made.

        None = there are no groups.
        """
        environment = self.of_environment(identifier)
        if environment is None:
            return None
        own = environment.below(SERVICES if revision is None else part(revision, place))
        try:
            if not cgroups.exists(environment):
                cgroups.make(environment, Limits(), holds_groups=True)
            cgroups.make(own, Limits(), holds_groups=True)  # nothing can be started where something was killed
        except OSError as error:
            self.trouble = f"a control group cannot be made: {error}"
            log.warning("no control group", reason=str(error))
            return None
        return own

    def for_emulator(self) -> ControlGroup | None:
        """The group that the embedded AWS emulator is to be started in; it is made. None = there are no groups."""
        top = self.top()
        if top is None:
            return None
        own, allowed = _of_emulator(top), limits.of_emulator(self.memory)
        try:
            refused = cgroups.make(own, Limits(allowed.processes, allowed.memory, limits.EMULATOR_WEIGHT))
        except OSError as error:
            log.warning("no control group", reason=str(error))
            return None
        if refused:
            log.warning("limits not set", files=refused)
        return own

    def limit(self, identifier: str, cells: Iterable[tuple[EnvironmentClass, int]]) -> None:
        """Set what an environment may have, with the classes and numbers of workers of its cells."""
        known, environment = list(cells), self.of_environment(identifier)
        if environment is None or not cgroups.exists(environment):
            return
        allowed = limits.of_environment(known, self.memory)
        refused = cgroups.limit(environment, Limits(allowed.processes, allowed.memory, self._weight(identifier, known)))
        if refused:
            log.warning("limits not set", environment=identifier, files=refused)

    def weigh(self, identifier: str, cells: Iterable[tuple[EnvironmentClass, int]]) -> None:
        """Set an environment's part of the processors alone."""
        environment = self.of_environment(identifier)
        if environment is not None and cgroups.exists(environment):
            refused = cgroups.weigh(environment, self._weight(identifier, cells))
            if refused:
                log.warning("limits not set", environment=identifier, files=refused)

    def _weight(self, identifier: str, cells: Iterable[tuple[EnvironmentClass, int]]) -> int:
        weight = max((limits.weight(found) for found, _ in cells), default=limits.USUAL_WEIGHT)
        return weight // limits.LIGHTER if identifier in self.lighter else weight

    def runnable(self) -> dict[str, int]:
        """How many processes of each environment run, or would if they had a processor, by its identifier."""
        top = known(self._paths)
        if top is None or cgroups.CPU not in top.folders:
            return {}
        with os.scandir(top.folders[cgroups.CPU]) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
        return {name: cgroups.runnable(top.below(name)) for name in names}

    def remove_cell(self, identifier: str, revision: int) -> None:
        """Remove the group of a cell that has ended."""
        environment = self.of_environment(identifier)
        if environment is not None:
            for place in range(ZONES):
                cgroups.remove(environment.below(part(revision, place)))

    def remove(self, identifier: str) -> None:
        """Remove the groups of an environment that has ended."""
        environment = self.of_environment(identifier)
        if environment is not None:
            cgroups.remove(environment)


def enforcement(paths: Paths) -> Enforcement:
    """What sees to the limits of this installation, or will when its first environment is made."""
    found, reason = known(paths), ""
    if found is None:
        found, reason = cgroups.here()
    return Enforcement(
        version=found.version if found else None,
        kinds=frozenset(found.folders if found else ()),
        reason=reason,
        has_users=os.geteuid() == 0,
        machine=Groups(paths).memory,
        processors=processors(),
        disk_trouble=disk_images.trouble(),
    )


def processors() -> int:
    """How many the machine has."""
    return os.cpu_count() or 1


def is_busy(loadavg: Path = Path("/proc/loadavg")) -> bool:
    """Whether more threads want to run than the machine has processors, at this moment; ours is not counted."""
    try:
        wanting = int(loadavg.read_text(encoding="ascii").split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return True
    return wanting - 1 > processors()


def known(paths: Paths) -> ControlGroup | None:
    """The group of the installation that an earlier control plane or this one has made; None = there is none."""
    found = _recorded(paths)
    return found if found is not None and cgroups.exists(found) else None


def remove_all(paths: Paths) -> bool:
    """Remove every group of the installation, if nobody is in them; says whether all are gone.

    A process whose main thread has ended may be in one a moment longer, by its other threads.
    """
    top = _recorded(paths)
    if top is None:
        return True
    gone = [cgroups.remove(each) for each in (top, _of_emulator(top))]  # the second, whether or not the first is gone
    return all(gone)


def of_cell(cell: CellPaths, top: ControlGroup | None) -> ControlGroup | None:
    """The group that a cell was started in; None = in none, or in one of another installation."""
    try:
        found = cgroups.parse(json.loads(cell.config.read_text(encoding="utf-8")).get("group"))
    except (OSError, ValueError, AttributeError):
        return None
    if found is None or top is None or found.folders.keys() - top.folders.keys():
        return None
    is_below = all(Path(place).is_relative_to(top.folders[kind]) for kind, place in found.folders.items())
    return found if is_below and cgroups.exists(found) else None


def document(group: ControlGroup | None) -> dict[str, Any] | None:
    """The group as a cell's configuration has it."""
    return None if group is None else group._asdict()


def _made(paths: Paths, memory: int) -> tuple[ControlGroup | None, str]:
    found = known(paths)
    if found is None:
        place, trouble = cgroups.here()
        if place is None:
            return None, trouble
        refused = cgroups.lend(place)
        place = ControlGroup(place.version, {kind: each for kind, each in place.folders.items() if kind not in refused})
        if not place.folders:
            return None, "the kernel gives groups of ours no controller"
        found = place.below(_top_name(paths))
    weight = WEIGHT_AMONG_PROCESSES if found.version == 1 else None
    try:
        refused = cgroups.make(found, Limits(memory=limits.for_environments(memory), weight=weight), holds_groups=True)
    except OSError as error:
        return None, f"a control group cannot be made: {error}"
    if refused:
        log.warning("limits not set", files=refused)
    folders.make(_record(paths).parent)
    private_files.write(_record(paths), json.dumps(document(found)))
    return found, ""


def _recorded(paths: Paths) -> ControlGroup | None:
    try:
        found = cgroups.parse(json.loads(_record(paths).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    # A copy of a data folder has a record of the other's.
    is_own = found is not None and all(Path(place).name == _top_name(paths) for place in found.places)
    return found if is_own else None


def _of_emulator(top: ControlGroup) -> ControlGroup:
    """Beside the group of all environments."""
    return ControlGroup(top.version, {kind: f"{place}-aws" for kind, place in top.folders.items()})


def _record(paths: Paths) -> Path:
    return paths.run / "groups.json"


def _top_name(paths: Paths) -> str:
    """It is of the data folder, and of the user: in version 1 several may have one place."""
    return f"aerodrome-{hashlib.sha256(os.fsencode(paths.data) + str(os.geteuid()).encode()).hexdigest()[:8]}"
