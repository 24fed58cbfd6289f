"""The databases behind the Redshift Data API: what each is called, and how it comes to be.

The emulator, where the statements of DAG code arrive, may make neither databases nor roles. It leaves a request in
`requests`, the one folder here that it may write to; the keeper calls `provide` again and again, which writes the way
in, has the database made, and takes the request away. A request for what exists mends it: the role may have changed its
password, or closed its database.

Whatever the emulator wrote is hostile: who believed a way in that it wrote would change the password of any role.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aerodrome import private_files
from aerodrome.unix_users import UnixUser

PREFIX = "redshift_"
"""Before the names of databases and roles; what follows is chance, so that installations may share a server."""

MOST = 32
"""Databases of one installation; arbitrary. Whoever may send statements may name new ones."""

MOST_CONNECTIONS = 12
"""Of one role: its statements, and those that end them."""

REQUEST = ".request"
"""The ending of a request's file; it holds a `Warehouse`."""

WAY_IN = ".json"
"""The file with an `Access`; it counts when there is no request beside it."""

REFUSAL = ".refused"
"""The file that comes in the place of a way in, beside the request: a sentence for whoever asked."""

READABLE = 0o640
"""Of a way in where the emulator is somebody else: it reads the file, and changes it not."""

LARGEST_REQUEST = 16 * 2**10
"""Bytes; the names of a cluster and of a database are shorter."""

MOST_REQUESTS = 200
"""Files of requests that are looked at in one call; the emulator runs no more statements at a time."""

MOST_ENTRIES = 5000
"""Of their folder, of which one call reads the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """A database as callers of the Redshift Data API name it."""

    endpoint: str
    """`cluster/<ClusterIdentifier>` or `workgroup/<WorkgroupName>`."""
    database: str

    @property
    def key(self) -> str:
        """The beginning of its files' names: of one length and alphabet, whatever a caller wrote."""
        return hashlib.sha256(json.dumps([self.endpoint, self.database]).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way into one database, as the role that owns it."""

    warehouse: Warehouse
    host: str
    port: int
    name: str
    """Of the database and of the role."""
    password: str = field(repr=False)
    options: tuple[tuple[str, str], ...] = ()
    """More of libpq's connection parameters."""

    def text(self) -> str:
        """What its file holds."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Access:
        """The access in a file's text; any other text raises ValueError, KeyError or TypeError."""
        document: Mapping[str, Any] = json.loads(text)
        options = tuple((str(name), str(value)) for name, value in document["options"])
        return cls(**{**document, "warehouse": Warehouse(**document["warehouse"]), "options": options})


class WarehouseServer(Protocol):
    """The PostgreSQL that databases are made in."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def options(self) -> tuple[tuple[str, str], ...]: ...


def requests(folder: Path) -> Path:
    """Where the emulator asks; of mode 0700, and its own."""
    return folder / "requests"


class Arrivals:
    """The requests in the emulator's folder, some at a time: whatever else lies there, each has its turn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rest: Iterator[os.DirEntry[str]] = iter(())

    def next(self) -> list[Path]:
        """The next requests; what has the name of one and is no file is removed, if it is empty."""
        found: list[Path] = []
        for entry in itertools.islice(self._entries(), MOST_ENTRIES):
            if entry.name.endswith(REQUEST):
                if entry.is_file(follow_symlinks=False):
                    found.append(Path(entry.path))
                else:
                    _remove(entry)
            if len(found) == MOST_REQUESTS:
                break
        return sorted(found)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        """What is left of the folder since the call before, else all of it."""
        first = next(self._rest, None)
        if first is None:
            try:
                self._rest = os.scandir(requests(self.folder))
            except FileNotFoundError:
                return
        else:
            yield first
        for entry in self._rest:  # noqa: UP028 - "yield from" would close it with us
            yield entry


def _remove(entry: os.DirEntry[str]) -> None:
    with contextlib.suppress(OSError):  # it is full, or gone
        if entry.is_dir(follow_symlinks=False):
            Path(entry.path).rmdir()
        else:
            Path(entry.path).unlink()


def provide(
    arrivals: Arrivals, server: WarehouseServer, make: Callable[[str, str], None], reader: UnixUser | None = None
) -> None:
    """Answer requests of the emulator, whose user is `reader` (None = ourselves).

    `make` makes the database of that name, or mends it, with a role of the same name and that password, which owns it
    and nothing else. What it raises goes on to the caller, and the request stays.
    """
    for request in arrivals.next():
        warehouse = _read_request(request)
        if warehouse is not None:
            _provide(arrivals.folder, server, warehouse, make, reader)
        with contextlib.suppress(OSError):  # it is no file any more
            request.unlink()


def names(folder: Path) -> list[str]:
    """The databases that were made for the requests in the folder; each has a role of its name."""
    return sorted(access.name for access in known(folder))


def known(folder: Path) -> list[Access]:
    """The ways in that can be read, in the order of their files."""
    found = (read(file) for file in sorted(folder.glob(f"*{WAY_IN}")))
    return [access for access in found if access is not None]


def read(file: Path) -> Access | None:
    """The way in that a file holds; None when it is not there or cannot be read."""
    try:
        return Access.of(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _provide(
    folder: Path,
    server: WarehouseServer,
    warehouse: Warehouse,
    make: Callable[[str, str], None],
    reader: UnixUser | None,
) -> None:
    file = folder / f"{warehouse.key}{WAY_IN}"
    if not file.exists() and len(list(folder.glob(f"*{WAY_IN}"))) >= MOST:
        sentence = f"there are {MOST} databases already, and there can be no more"
        private_files.write(requests(folder) / f"{warehouse.key}{REFUSAL}", sentence, owner=reader)
        return
    found = read(file)
    access = Access(
        warehouse=warehouse,
        host=server.host,
        port=server.port,
        name=found.name if found else PREFIX + secrets.token_hex(8),
        password=found.password if found else secrets.token_urlsafe(32),
        options=server.options,
    )
    # Written first: should we die now, the next one makes the database under the name that stands there.
    owner = None if reader is None else UnixUser(os.geteuid(), reader.gid)
    private_files.write(file, access.text(), owner=owner, mode=READABLE if owner else private_files.MODE, durable=True)
    make(access.name, access.password)


def _read_request(request: Path) -> Warehouse | None:
    """The request in a file; None when it is none. What lies there may be a link, or wait for a writer without end."""
    try:
        with os.fdopen(os.open(request, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            document = json.loads(file.read(LARGEST_REQUEST))
            return Warehouse(endpoint=str(document.pop("endpoint")), database=str(document.pop("database")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
