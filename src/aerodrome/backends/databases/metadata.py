"""Reads and writes the content of a metadata database with the rights of the environment that owns it, never with ours.

The environment's code may have put anything there, such as a trigger, which runs with the rights of whoever changes a
row.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from aerodrome.airflow import metadata
from aerodrome.airflow.versions import Version
from aerodrome.model.observed import Ahead
from aerodrome.release import airflow_home
from aerodrome.release.installation import Installation
from aerodrome.services import clusters
from aerodrome.services.clusters import Cluster

LONGEST = 200
"""Characters that are kept of an error, whose text DAG code may have written."""

RESTORE = "Put back what was changed, or restore a snapshot."

PATIENCE = 5
"""Seconds that we take for an environment's database; the environment's code can make a statement run for ever."""

LEAVING = 1.0
"""Seconds after that in which the server may end the statement itself."""


def age_heartbeats(
    cluster: Cluster,
    name: str,
    password: str,
    version: Version,
    deaths: Mapping[str, datetime],
    under_way: timedelta = metadata.UNDER_WAY,
) -> None:
    """Let Airflow find the tasks of dead workers at once; `deaths` maps their host names to when they died."""
    told = [metadata.age_heartbeats(version, hostname, died_at, under_way) for hostname, died_at in deaths.items()]
    execute(cluster, name, password, *itertools.chain.from_iterable(told))


def age_all_heartbeats(cluster: Cluster, name: str, password: str, version: Version, hostnames: str) -> None:
    """As `age_heartbeats`, for every worker whose host name matches the LIKE pattern; all of them must be gone."""
    execute(cluster, name, password, *metadata.age_heartbeats(version, hostnames))


def import_errors(cluster: Cluster, name: str, password: str, version: Version, dags: Path) -> frozenset[str]:
    """The DAG files that the environment reports as failing, as paths below the DAGs folder."""
    rows = execute(cluster, name, password, metadata.import_errors(version))
    # Absolute paths are those that units saw; units of an earlier revision may have seen the folder elsewhere.
    folders = (airflow_home.path_of(airflow_home.DAGS, dags), dags)
    paths = (str(path) for (path,) in rows if path)
    return frozenset(
        next((os.path.relpath(path, folder) for folder in folders if path.startswith(f"{folder}/")), path)
        for path in paths
    )


def ahead(cluster: Cluster, name: str, password: str, version: Version, since: datetime) -> Ahead:
    """What needs the environment's units, now or later; see `airflow.metadata.ahead`."""
    try:
        [row] = execute(cluster, name, password, metadata.ahead(version, since))
        tasks, runs, triggers, events = map(int, row[:4])
        due_at, unknown, read_at = _moment(row[4]), int(row[5]), _moment(row[6])
    except psycopg.OperationalError:  # the database is away or slow: other code says so
        raise
    except (psycopg.Error, ValueError, TypeError) as error:
        return Ahead(unknown=f"The metadata database does not say what is due: {str(error).splitlines()[0][:LONGEST]}.")
    sentence = (
        f"Airflow {version.number} does not write down when the next run of a DAG is due, and {unknown} that "
        f"{'is' if unknown == 1 else 'are'} not paused {'has a schedule' if unknown == 1 else 'have schedules'}. "
        "Pause what may sleep."
    )
    return Ahead(
        tasks=tasks,
        runs=runs,
        triggers=triggers,
        events=events,
        due_at=due_at,
        read_at=read_at,
        unknown=sentence if unknown else "",
    )


def _moment(found: object) -> datetime | None:
    """A moment that a database tells.

    Raises:
        TypeError: it is none, or has no time zone.
    """
    if found is None or (isinstance(found, datetime) and found.tzinfo is not None):
        return found
    raise TypeError(f"{type(found).__name__} is no moment with a time zone")


def damage(cluster: Cluster, name: str, password: str, installation: Installation) -> str:
    """What in the database keeps this Airflow from working, in a sentence; empty when no such thing is known."""
    head = metadata.schema_head(installation.packages / "airflow")
    try:
        [(found, missing)] = execute(cluster, name, password, metadata.soundness())
    except psycopg.OperationalError:  # the database is away or slow, which says nothing about its content
        return ""
    except psycopg.Error as error:
        return f"Airflow's schema cannot be read: {str(error).splitlines()[0][:LONGEST]}. {RESTORE}"
    if missing:
        return f"Tables are gone or no longer belong to the environment: {', '.join(missing)}. {RESTORE}"
    if head is not None and found != [head]:
        told = ", ".join(found) or "none"
        return f"The schema's revision is {told}, and Airflow {installation.version} works with {head}. {RESTORE}"
    return ""


def forget_workers(cluster: Cluster, name: str, owner: str, password: str, version: Version) -> None:
    """Write into a copy that none of its workers lives, and that no broker has any of its tasks queued."""
    statements = (metadata.requeue(), *metadata.age_heartbeats(version, "%"))
    execute(cluster, name, password, *statements, owner=owner, patience=len(statements) * PATIENCE)


def execute(
    cluster: Cluster,
    name: str,
    password: str,
    *statements: metadata.DatabaseQuery,
    owner: str | None = None,
    patience: int | None = None,
) -> list[tuple[Any, ...]]:
    """Execute statements with the rights of the database's owner; returns the rows of the last, if it has any.

    All together may take `patience` seconds; None = `PATIENCE`. A trigger can catch the server's timeout and go on: a
    moment later we leave.

    Raises:
        psycopg.errors.QueryCanceled: they took longer.
    """
    seconds = patience or PATIENCE
    ends_at = time.monotonic() + seconds
    rows: list[tuple[Any, ...]] = []
    with (
        psycopg.connect(
            cluster.dsn(name, owner or name, password),
            autocommit=True,
            connect_timeout=clusters.CONNECT_TIMEOUT,
            options=f"-c statement_timeout={seconds}s",
            client_encoding="utf8",  # the environment's code may have set another for the role
        ) as connection,
        _left_at(connection, ends_at + LEAVING),
    ):
        for number, statement in enumerate(statements):
            left = ends_at - time.monotonic()
            if left <= 0:
                raise psycopg.errors.QueryCanceled(f"the statements took longer than {seconds} s")
            if number:  # a trigger may have changed it too
                connection.execute(f"SET statement_timeout = {math.ceil(left * 1000)}")
            done = connection.execute(statement.text, statement.parameters)
            rows = done.fetchall() if done.description else []
    return rows


@contextlib.contextmanager
def _left_at(connection: psycopg.Connection[Any], moment: float) -> Iterator[None]:
    """Cut the connection at that moment, whatever the server does meanwhile.

    Raises:
        psycopg.errors.QueryCanceled: it was cut.
    """
    is_cut = threading.Event()
    line = socket.socket(fileno=os.dup(connection.fileno()))

    def cut() -> None:
        is_cut.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(moment - time.monotonic(), 0.0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.OperationalError as error:
        if not is_cut.is_set():
            raise
        raise psycopg.errors.QueryCanceled("the server did not end a statement in time") from error
    finally:
        timer.cancel()
        timer.join()
        line.close()
