"""Control groups of Linux, of both versions: where ours may be, what limits them, who is in them, and how they end.

A group is one folder in each hierarchy: version 1 has a hierarchy for each controller, version 2 one for all. `plan`
says which files get which values, and `make`, `enter`, `kill` and `remove` alone change anything. The agent uses it for
its units, and the local backend, which makes the groups that hold others.

In version 2 a group with processes of its own cannot limit groups below it, so ours have either.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import kernel

if TYPE_CHECKING:
    from typing import Any

PROCESSES, MEMORY, CPU = CONTROLLERS = ("pids", "memory", "cpu")

MOUNTS = "/proc/self/mountinfo"
MEMBERSHIP = "/proc/self/cgroup"

USUAL_WEIGHT = 100  # of a group among its neighbours, in version 2's unit
USUAL_SHARES = 1024  # the same in version 1's
LEAST_SHARES = 2
PERIOD = 1_000_000  # microseconds, in each of which a group has its processors' time; the kernel takes no longer one
UNBOUNDED = 2**62  # bytes; version 1 says "no limit" by a number near 2**63
PASSES = 20  # each catches what was forked during the pass before; no more than one is needed where forks are refused


class ControlGroup(NamedTuple):
    """One group: its folder for each controller that we may use there."""

    version: int
    folders: dict[str, str]

    @property
    def places(self) -> list[str]:
        """Its folders, each once."""
        return sorted(set(self.folders.values()))

    def below(self, *names: str) -> ControlGroup:
        """The group of these names below it."""
        return ControlGroup(self.version, {kind: os.path.join(place, *names) for kind, place in self.folders.items()})


class Limits(NamedTuple):
    """What a group may have; None = no limit of its own, and no more than the groups above it."""

    processes: int | None = None
    """Processes and threads."""
    memory: int | None = None
    """Bytes, page cache included, which is given up first."""
    weight: int | None = None
    """Its part of the processors where they are short, in hundredths of what a neighbour usually has."""
    processors: int | None = None
    """As much time as so many processors have, however many are idle."""


class Counts(NamedTuple):
    """What the kernel has counted since the group was made."""

    killed: int
    """Processes that it ended because a limit of memory was met."""
    refused: int
    """How often it refused a process."""


def parse(document: Any) -> ControlGroup | None:
    """The group of a document; None when it is none."""
    try:
        folders = {str(kind): str(place) for kind, place in document["folders"].items()}
        sound = folders and all(place.startswith("/") for place in folders.values())
        return ControlGroup(int(document["version"]), folders) if sound else None
    except (TypeError, KeyError, ValueError, AttributeError):
        return None


# Where a tree of ours may be


def here() -> tuple[ControlGroup | None, str]:
    """`find` for this process."""
    return find(_read(MOUNTS), _read(MEMBERSHIP))


def find(mounts: str, membership: str) -> tuple[ControlGroup | None, str]:
    """The group below which a process may make groups, by its texts of MOUNTS and MEMBERSHIP.

    Otherwise None, and what is missing, in words.
    """
    hierarchies = _hierarchies(mounts)
    own = _own(membership)
    first = {kind: _joined(hierarchies[kind], own.get(kind, "/")) for kind in CONTROLLERS if kind in hierarchies}
    if first:
        return _find_1(first)
    if "" not in hierarchies:
        return None, "the kernel shows no control groups here"
    return _find_2(_joined(hierarchies[""], own.get("", "/")), hierarchies[""][1])


def _find_1(folders: dict[str, str]) -> tuple[ControlGroup | None, str]:
    usable = {kind: place for kind, place in folders.items() if os.access(place, os.W_OK | os.X_OK)}
    if PROCESSES not in usable and MEMORY not in usable:
        return None, "control groups are there (version 1), but we may make none below {}".format(
            ", ".join(sorted(set(folders.values())))
        )
    return ControlGroup(1, usable), ""


def _find_2(own: str, top: str) -> tuple[ControlGroup | None, str]:
    """The highest group above our own, or our own, that we may give groups to: it has no processes, or is the root."""
    reasons = []
    found: ControlGroup | None = None
    place = own
    while True:
        kinds = [kind for kind in CONTROLLERS if kind in _read(os.path.join(place, "cgroup.controllers")).split()]
        if not all(os.access(os.path.join(place, name), os.W_OK) for name in ("", "cgroup.procs")):
            reasons.append(f"we may not change {place}")
            break  # what is above is not ours either
        if _is_inner(place) and kinds:
            found = ControlGroup(2, dict.fromkeys(kinds, place))
        else:
            reasons.append(f"{place} has processes of its own" if kinds else f"{place} has no controllers")
        if place in (top, "/"):
            break
        place = os.path.dirname(place)
    if found is not None:
        return found, ""
    return None, "control groups are there (version 2), but " + "; ".join(reasons)


def _is_inner(place: str) -> bool:
    """Whether groups below it may have limits: it is the root of all, which has no type, or has no processes."""
    is_root = not os.path.exists(os.path.join(place, "cgroup.type"))
    return is_root or not _read(os.path.join(place, "cgroup.procs")).strip()


def _hierarchies(mounts: str) -> dict[str, tuple[str, str]]:
    """Each controller's mounted hierarchy as (what of it is shown, where); "" is version 2's."""
    found: dict[str, tuple[str, str]] = {}
    for line in mounts.splitlines():
        left, dash, right = line.partition(" - ")
        words, kind = left.split(), right.split()
        if not dash or len(words) < 5 or not kind:  # noqa: PLR2004 - proc(5): the first five are always there
            continue
        shown = (words[3], words[4])
        if kind[0] == "cgroup2":
            found.setdefault("", shown)
        elif kind[0] == "cgroup":
            for option in kind[-1].split(","):
                if option in CONTROLLERS:
                    found.setdefault(option, shown)
    return found


def _own(membership: str) -> dict[str, str]:
    """Each controller's group of this process; "" is version 2's."""
    found = {}
    for line in membership.splitlines():
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        for kind in kinds.split(","):
            found[kind] = path
    return found


def _joined(hierarchy: tuple[str, str], path: str) -> str:
    shown, mounted = hierarchy
    if shown != "/" and (path + "/").startswith(shown + "/"):
        path = path[len(shown) :]
    return mounted.rstrip("/") + path.rstrip("/") or mounted


# What limits a group


def plan(group: ControlGroup, limits: Limits) -> list[tuple[str, str]]:
    """The files of a group that have to be written so that it has these limits, each with its text. Pure."""
    weight = USUAL_WEIGHT if limits.weight is None else limits.weight
    quota = (limits.processors or 0) * PERIOD  # also what may be saved up, for work that is over in a moment
    if group.version == 1:
        memory = "memory.limit_in_bytes"
        bytes_text = "-1" if limits.memory is None else str(limits.memory)
        burst, quota_text = "cpu.cfs_burst_us", "-1" if limits.processors is None else str(quota)
        times = [("cpu.cfs_period_us", str(PERIOD)), ("cpu.cfs_quota_us", quota_text)]
    else:
        memory = "memory.max"
        bytes_text = "max" if limits.memory is None else str(limits.memory)
        quota_text = "max" if limits.processors is None else str(quota)
        burst, times = "cpu.max.burst", [("cpu.max", f"{quota_text} {PERIOD}")]
    texts = {
        PROCESSES: ("pids.max", "max" if limits.processes is None else str(limits.processes)),
        MEMORY: (memory, bytes_text),
        CPU: _weight(group, weight),
    }
    wanted = [(os.path.join(group.folders[kind], texts[kind][0]), texts[kind][1]) for kind in group.folders]
    if CPU in group.folders:
        # The kernel takes no quota that is smaller than what may be saved up, and some kernels save nothing up.
        times = [(burst, "0"), *times, (burst, str(quota))]
        wanted += [(os.path.join(group.folders[CPU], name), text) for name, text in times]
    if group.version != 1 and MEMORY in group.folders:
        # Otherwise what exceeds its memory would fill the swap space of everybody.
        wanted.append((os.path.join(group.folders[MEMORY], "memory.swap.max"), bytes_text))
    return wanted


def _weight(group: ControlGroup, weight: int) -> tuple[str, str]:
    """The file of a weight, and its text; `weight` is in hundredths of the usual one."""
    if group.version == 1:
        return "cpu.shares", str(max(LEAST_SHARES, weight * USUAL_SHARES // USUAL_WEIGHT))
    return "cpu.weight", str(weight)


def bound(group: ControlGroup) -> int | None:
    """Bytes of memory that the group may have by its own limit and those above it; None = without a limit."""
    place = group.folders.get(MEMORY)
    if place is None:
        return None
    if group.version == 1:
        found = _numbers(_read(os.path.join(place, "memory.stat"))).get("hierarchical_memory_limit", UNBOUNDED)
        return found if found < UNBOUNDED else None
    limits = []
    while os.path.exists(os.path.join(place, "cgroup.controllers")):
        text = _read(os.path.join(place, "memory.max")).strip()
        limits += [int(text)] if text.isdigit() else []
        place = os.path.dirname(place)
    return min(limits) if limits else None


# Changing them


def make(group: ControlGroup, limits: Limits | None = None, *, holds_groups: bool = False) -> list[str]:
    """Makes the group, unless it is there, and sets its limits; returns what refused.

    `holds_groups` is for one that has groups below it and no process. Raises OSError when it cannot be made.
    """
    for place in group.places:
        os.makedirs(place, mode=0o755, exist_ok=True)
    refused = [] if limits is None else limit(group, limits)
    if holds_groups and group.version != 1:
        refused += lend(group)
    return refused


def lend(group: ControlGroup) -> list[str]:
    """Lets groups below this one have its controllers, where version 2 asks for that; returns those that refuse."""
    if group.version == 1:
        return []
    files = {kind: os.path.join(place, "cgroup.subtree_control") for kind, place in group.folders.items()}
    return [kind for kind, file in files.items() if not _write(file, f"+{kind}")]


def limit(group: ControlGroup, limits: Limits) -> list[str]:
    """Sets the limits of a group that is there, at once for all that is in it; returns the files that refused.

    The kernel refuses a limit of memory below what is in use and cannot be given up.
    """
    return [file for file, text in plan(group, limits) if not _write(file, text) and os.path.exists(file)]


def weigh(group: ControlGroup, weight: int) -> list[str]:
    """Sets the weight of a group that is there, and no other limit; returns the file if it refused."""
    if CPU not in group.folders:
        return []
    name, text = _weight(group, weight)
    file = os.path.join(group.folders[CPU], name)
    return [] if _write(file, text) else [file]


def enter(group: ControlGroup, pid: int) -> None:
    """Moves a process into the group; what it starts from now on is there too. Raises OSError."""
    for place in group.places:
        with open(os.path.join(place, "cgroup.procs"), "w", encoding="ascii") as file:
            file.write(str(pid))


def holds(group: ControlGroup, pid: int) -> bool:
    """Whether the process is in the group itself, in every hierarchy."""
    return all(pid in _listed(place) for place in group.places)


def members(group: ControlGroup) -> set[int]:
    """The processes of the group and of all below it."""
    return {pid for place in group.places for folder in _folders(place) for pid in _listed(folder)}


def runnable(group: ControlGroup) -> int:
    """How many processes of the group and below it run, or would if they had a processor, by their main threads."""
    listed = {pid for folder in _folders(group.folders[CPU]) for pid in _listed(folder)}
    return sum(found is not None and found.state == "R" for found in map(kernel.process, listed))


def kill(group: ControlGroup) -> int:
    """SIGKILLs every process of the group and below it; returns how many there were. They end in a moment.

    Nothing can be started in the group any more, until its limits are set again.
    """
    killed: set[int] = set()
    if PROCESSES in group.folders:
        _write(os.path.join(group.folders[PROCESSES], "pids.max"), "0")
    for _ in range(PASSES):
        fresh = members(group) - killed
        if not fresh:
            break
        whole = group.version != 1 and all(_write(os.path.join(place, "cgroup.kill"), "1") for place in group.places)
        for pid in () if whole else fresh:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        killed |= fresh
    return len(killed)


def remove(group: ControlGroup) -> bool:
    """Removes the group and those below it, if nobody is in them; says whether it is gone."""
    for place in group.places:
        for folder in reversed(_folders(place)):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    return not exists(group)


def exists(group: ControlGroup) -> bool:
    """Whether any of its folders is there."""
    return any(os.path.isdir(place) for place in group.places)


def counts(group: ControlGroup) -> Counts:
    """What was counted in the group itself."""
    killed = refused = 0
    if MEMORY in group.folders:
        name = "memory.oom_control" if group.version == 1 else "memory.events"
        killed = _numbers(_read(os.path.join(group.folders[MEMORY], name))).get("oom_kill", 0)
    if PROCESSES in group.folders:
        refused = _numbers(_read(os.path.join(group.folders[PROCESSES], "pids.events"))).get("max", 0)
    return Counts(killed, refused)


def _folders(place: str) -> list[str]:
    """The folder and all below it, each after that which it is in."""
    return [folder for folder, _, _ in os.walk(place)]


def _listed(place: str) -> set[int]:
    """The processes in a group's own list; 0 stands for one in another PID namespace."""
    return {int(word) for word in _read(os.path.join(place, "cgroup.procs")).split()} - {0}


def _numbers(text: str) -> dict[str, int]:
    """The lines `name number` of a file."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}  # noqa: PLR2004


def _read(path: str) -> str:
    """The file's text; empty when there is none, or nobody may read it."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _write(path: str, text: str) -> bool:
    """Writes into a file of the kernel's, and never makes one; False = it refused."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(handle, text.encode("ascii"))
    except OSError:
        return False
    finally:
        os.close(handle)
    return True
