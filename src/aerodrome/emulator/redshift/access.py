"""How to reach a database: by the keeper's note, or by a request where no note fits.

See `warehouses`. The control plane must be up when a database is used for the first time, and then never again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from json import dumps
from pathlib import Path

import psycopg
from psycopg import conninfo

from aerodrome import private_files
from aerodrome.emulator.redshift import warehouses
from aerodrome.emulator.redshift.warehouses import REFUSAL, REQUEST, WAY_IN, Access, Warehouse

PATIENCE = 60.0
"""Seconds until a database must be there; the keeper looks every second."""

POLL = 0.05

CONNECT_TIMEOUT = "10"
"""Seconds for one connection."""

SETTINGS = "-c client_connection_check_interval=5s -c idle_in_transaction_session_timeout=5min"
"""What ends a statement whose emulator has died."""


class UnavailableError(Exception):
    """There is no database to be had; the message says why."""


def connected(folder: Path, warehouse: Warehouse, check: Callable[[], None]) -> psycopg.Connection:
    """A connection to the warehouse's database, which is made if it is not there. `check` is called while it is not.

    Raises:
        UnavailableError: it was not to be had.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        access = known(folder, warehouse)
        if access is not None:
            try:
                return connect(access)
            except psycopg.OperationalError as error:
                # Another server perhaps, or the role's own statements have changed its password: a request mends that.
                if time.monotonic() > deadline:
                    raise UnavailableError("the database does not let its own role in") from error
        _ask_for(folder, warehouse)
        _wait(folder, warehouse, deadline, check)


def known(folder: Path, warehouse: Warehouse) -> Access | None:
    """The way in, when there is one already."""
    found = warehouses.read(folder / f"{warehouse.key}{WAY_IN}")
    return None if (warehouses.requests(folder) / f"{warehouse.key}{REQUEST}").exists() else found


def connect(access: Access) -> psycopg.Connection:
    """A connection in which each command is a transaction of its own."""
    parameters = {
        "host": access.host,
        "port": str(access.port),
        "dbname": access.name,
        "user": access.name,
        "password": access.password,
        "connect_timeout": CONNECT_TIMEOUT,
        "application_name": "redshift-data",
        "client_encoding": "utf8",
        "options": SETTINGS,
    }
    # As one text, for the names of an external server's options are not known here.
    text = conninfo.make_conninfo("", **{**parameters, **dict(access.options)})
    return psycopg.connect(text, autocommit=True)


def _ask_for(folder: Path, warehouse: Warehouse) -> None:
    private_files.write(warehouses.requests(folder) / f"{warehouse.key}{REQUEST}", dumps(asdict(warehouse)))


def _wait(folder: Path, warehouse: Warehouse, deadline: float, check: Callable[[], None]) -> None:
    """Return when the request was granted."""
    request, refusal = (warehouses.requests(folder) / f"{warehouse.key}{ending}" for ending in (REQUEST, REFUSAL))
    while request.exists():
        check()
        if time.monotonic() > deadline:
            request.unlink(missing_ok=True)
            raise UnavailableError(
                f"no database was made within {PATIENCE:.0f} seconds; that is done by Aerodrome's control plane, which "
                "must be up when a database is used for the first time"
            )
        time.sleep(POLL)
    try:
        sentence = refusal.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    refusal.unlink(missing_ok=True)
    raise UnavailableError(sentence)
