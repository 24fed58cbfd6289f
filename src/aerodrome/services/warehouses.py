"""Databases on demand, for the statements of DAG code: each with a role of its own that owns it and nothing else.

Wishes lie in a folder of ours; `provide` grants them there (see `model.warehouses`). It is called again and again, and
a wish for what exists mends it: the role may have changed its password, or shut its database.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import psycopg

from aerodrome import private_files
from aerodrome.errors import RetryError
from aerodrome.model.warehouses import REFUSAL, WAY_IN, WISH, Access, Warehouse
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster

PREFIX = "redshift_"
"""Before the names of databases and roles; what follows is chance, so that installations may share a server."""

MOST = 32
"""Databases of one installation; arbitrary. Whoever may send statements may name new ones."""

MOST_CONNECTIONS = 12
"""Of one role: its statements, and those that end them."""


def provide(cluster: Cluster, folder: Path) -> None:
    """Grant every wish in the folder.

    Raises:
        RetryError: PostgreSQL does not answer; the wishes stay.
    """
    for wish in sorted(folder.glob(f"*{WISH}")):
        warehouse = _wished(wish)
        if warehouse is not None:
            try:
                _provide(cluster, folder, warehouse)
            except psycopg.OperationalError as error:
                raise RetryError(f"PostgreSQL at {cluster.host} does not answer: {error}") from error
        wish.unlink()


def _provide(cluster: Cluster, folder: Path, warehouse: Warehouse) -> None:
    file = folder / f"{warehouse.key}{WAY_IN}"
    if not file.exists() and len(list(folder.glob(f"*{WAY_IN}"))) >= MOST:
        sentence = f"there are {MOST} databases already, and there can be no more"
        private_files.write(file.with_suffix(REFUSAL), sentence, durable=True)
        return
    # Written first: should we die now, the next one makes the database under the name that stands there.
    access = _access(cluster, file, warehouse)
    private_files.write(file, access.text(), durable=True)
    databases.ensure_role(cluster, access.name, access.password, connection_limit=MOST_CONNECTIONS)
    databases.ensure_database(cluster, access.name, access.name)
    databases.open_database(cluster, access.name)


def _access(cluster: Cluster, file: Path, warehouse: Warehouse) -> Access:
    """The way in that the file holds, to where the server is now; a new one when it holds none."""
    try:
        known = Access.of(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        name, password = PREFIX + secrets.token_hex(8), secrets.token_urlsafe(32)
    else:
        name, password = known.name, known.password
    return Access(
        warehouse=warehouse,
        host=cluster.host,
        port=cluster.port,
        name=name,
        password=password,
        options=cluster.options,
    )


def _wished(wish: Path) -> Warehouse | None:
    try:
        return Warehouse(**json.loads(wish.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None
