"""The register of a machine: which installation of Aerodrome has which uids, as root. Without root there is none.

It lies outside every data folder, readable by root alone. Each data folder keeps what it was given, so that it brings
its uids along when it is moved, and when the register was lost with the root file system of a container. `uid_ranges`
decides; this module locks, reads and writes.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from aerodrome import errors, private_files, trees
from aerodrome.services import folders, uid_ranges
from aerodrome.services.uid_ranges import Claim, Machine, Register, UidRanges
from aerodrome.settings import Paths

FOLDER = Path("/var/lib/aerodrome-uids")
"""Not a folder that somebody might choose for data: a purge would remove the register with it."""

_SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))
"""Ids that users' containers have (subuid(5))."""


def claim(paths: Paths, *, lowest: int, folder: Path = FOLDER) -> Claim | None:
    """What the data folder has, or gets; None when we are not root.

    Where `moves` is set, its files belong to other uids: `settle` says that they do no more.

    Raises:
        BrokenError: there is no free range, or the register cannot be read or written. RetryError: others hold it.
    """
    if os.geteuid() != 0:
        return None
    folders.make(paths.data)
    with _opened(folder) as register:
        _discard_copied_run(paths, register)
        record = recorded(paths)
        found = uid_ranges.claim(
            register,
            record,
            str(paths.data),
            is_alive=lambda entry: _is_elsewhere(entry, paths.data),
            machine=_machine(),
            lowest=lowest,
            unregistered=0 if record else _unregistered(paths, lowest),
        )
        if found is None:
            raise _exhausted()
        # In this order: whoever is killed between two of these steps claims the same again.
        kept = replace(found.own, firsts=found.before, unregistered=found.unregistered)
        _write_record(paths, kept, record)
        _write(folder, found.register, register)
        if not found.moves:
            _write_record(paths, found.own, kept)
    return found


def discard_copied_run(paths: Paths, *, folder: Path = FOLDER) -> None:
    """Remove the run folder that a copy of a data folder has in itself: its process ids are those of the original.

    Whoever believes such an id stops what is another installation's. Nothing happens where the register is of no use.
    """
    if os.geteuid() == 0 and folder.is_dir():
        with contextlib.suppress(errors.BrokenError):
            _discard_copied_run(paths, _read(folder / "register.json"))


def settle(paths: Paths, own: UidRanges) -> None:
    """Write down that the files of the data folder belong to these uids now."""
    _write_record(paths, own, None)


def extend(paths: Paths, own: UidRanges, *, lowest: int, folder: Path = FOLDER) -> UidRanges:
    """Give the installation one range more.

    Raises:
        BrokenError: there is no free range, or the register cannot be read or written. RetryError: others hold it.
    """
    with _opened(folder) as register:
        found = uid_ranges.extended(register, own, _machine(), lowest=lowest)
        if found is None:
            raise _exhausted()
        _write(folder, found.register, register)
    _write_record(paths, found.own, None)
    return found.own


def sweep(*, folder: Path = FOLDER) -> None:
    """Void the entries of data folders that are gone: after a purge, say. An entry is made again if one comes back.

    Raises:
        BrokenError: the register cannot be read or written. RetryError: others hold it.
    """
    if os.geteuid() != 0 or not folder.is_dir():
        return
    with _opened(folder) as register:
        gone = (each.identifier for each in register.installations if not _is_there(each))
        _write(folder, register.without(*gone), register)


def recorded(paths: Paths) -> UidRanges | None:
    """What the data folder was given last, without a look at the register; None = nothing, or we are not root."""
    if os.geteuid() != 0:
        return None  # it is root's to read
    try:
        return _installation(json.loads(paths.uids.read_text(encoding="utf-8")), str(paths.data))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(paths.uids, "it was changed") from error


@contextmanager
def _opened(folder: Path) -> Iterator[Register]:
    """The register, held against all others."""
    try:
        folders.make(folder, folders.PRIVATE)
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error
    with folders.locked(folder / "lock"):
        yield _read(folder / "register.json")


def _read(file: Path) -> Register:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        entries = tuple(_installation(each, str(each["data"])) for each in document["installations"])
        return Register(entries, int(document["last"]))
    except FileNotFoundError:
        return Register()
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(file, "it was changed") from error


def _write(folder: Path, register: Register, before: Register) -> None:
    if register != before:
        document = {"last": register.last, "installations": [asdict(each) for each in register.installations]}
        try:
            private_files.write(folder / "register.json", json.dumps(document, indent=1), durable=True)
        except OSError as error:
            raise _unusable(folder, error.strerror or str(error)) from error


def _write_record(paths: Paths, own: UidRanges, before: UidRanges | None) -> None:
    if own != before:
        document = {"identifier": own.identifier, "firsts": own.firsts, "unregistered": own.unregistered}
        private_files.write(paths.uids, json.dumps(document), durable=True)


def _installation(document: Mapping[str, Any], data: str) -> UidRanges:
    firsts = tuple(int(first) for first in document["firsts"])
    return UidRanges(str(document["identifier"]), data, firsts, int(document.get("unregistered", 0)))


def _discard_copied_run(paths: Paths, register: Register) -> None:
    record = recorded(paths)
    entry = register.find(record.identifier) if record else None
    if record is None or entry is None or not _is_elsewhere(entry, paths.data):
        return
    if paths.run.parent == paths.data:
        trees.remove(paths.run)
    # A copy no more, so that what is written into the run folder from now on stays there.
    _write_record(paths, replace(record, identifier=uid_ranges.new_identifier()), record)


def _unregistered(paths: Paths, lowest: int) -> int:
    """How many uids an Aerodrome without a register may have given to environments; 0 = it has made none."""
    if not paths.environments.is_dir():
        return 0
    numbers = [0 for _ in paths.environments.iterdir()]
    for folder in paths.environments.glob("*/spool"):  # it belongs to the environment's user
        with contextlib.suppress(OSError):
            numbers.append(folder.lstat().st_uid - lowest)
    return max(numbers, default=-1) + 1


def _is_there(entry: UidRanges) -> bool:
    """Whether the data folder at the entry's place is the one that it was made for."""
    try:
        found = recorded(Paths(Path(entry.data)))
    except (OSError, errors.BrokenError):
        return True  # nobody knows, so nobody else gets its uids
    return found is not None and found.identifier == entry.identifier


def _is_elsewhere(entry: UidRanges, data: Path) -> bool:
    """Whether that is another folder than `data`, which may be reached by several paths."""
    if not _is_there(entry):
        return False
    try:
        return not data.samefile(entry.data)
    except OSError:
        return True


def _machine() -> Machine:
    accounts = {each.pw_uid for each in pwd.getpwall()} | {each.gr_gid for each in grp.getgrall()}
    return Machine(
        mapped=_mapped(),
        accounts=(*(range(each, each + 1) for each in sorted(accounts)), *_subordinate()),
        running=frozenset(_running()),
    )


def _mapped() -> tuple[range, ...]:
    """The ids that our user namespace has of users and of groups."""
    try:
        uids, gids = (Path(f"/proc/self/{kind}_map").read_text(encoding="ascii") for kind in ("uid", "gid"))
    except OSError:
        return Machine().mapped
    spans = [[_span(line) for line in text.splitlines()] for text in (uids, gids)]
    both = (range(max(one.start, two.start), min(one.stop, two.stop)) for one in spans[0] for two in spans[1])
    return tuple(each for each in both if each) or Machine().mapped


def _span(line: str) -> range:
    first, _, count = map(int, line.split())
    return range(first, first + count)


def _subordinate() -> Iterator[range]:
    for file in _SUBORDINATE:
        try:
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            _, _, rest = line.partition(":")
            first, _, count = rest.partition(":")
            if first.isdecimal() and count.isdecimal():
                yield range(int(first), int(first) + int(count))


def _running() -> Iterator[int]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield from process.uids()


def _exhausted() -> errors.BrokenError:
    return errors.BrokenError(
        f"no {uid_ranges.SIZE} uids in a row are free on this machine for the environments' users: {FOLDER} says which "
        "installations have some; purge one that is no longer needed, or set AERODROME_FIRST_UID to a lower number",
        code="UIDS_EXHAUSTED",
    )


def _unusable(path: Path, reason: str) -> errors.BrokenError:
    return errors.BrokenError(
        f"the register of the uids that environments run under cannot be used: {path}: {reason}. Let root write there; "
        "if it is damaged, remove it: each installation writes itself into a new one at its next start",
        code="UID_REGISTER_UNUSABLE",
    )
