"""Telling Airflow that DAG files changed: one row each in the priority table that its DAG processor reads.

`rounds` calls it after files were placed, and once more a little later: Airflow drops a request for a file that it is
parsing at that moment. A failure costs latency only (Airflow scans the folder by itself, a little later), so it is
logged and forgotten. psycopg is loaded with the first row, because an environment may never need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from aerodrome.sidecar.config import DatabaseConfig, PriorityParse
from aerodrome.sidecar.object_keys import parents

if TYPE_CHECKING:
    import psycopg

IDLE = 60.0
"""Seconds without a row after which the connection is closed."""

TIMEOUT = 2
"""Seconds for connecting and for a statement (psycopg's own minimum for connecting): the next round waits behind it."""

MOST_ROWS = 100
"""Rows of one round; arbitrary. After a large change Airflow's own scan is as fast."""

SECOND_TIME = 2.0
"""Seconds until a file is named again: most files are parsed within one."""

PARSED = (".py", ".zip")
"""Endings of files in which Airflow looks for DAGs."""

IGNORE_FILE = ".airflowignore"

log = structlog.get_logger("sidecar.parsing")


def locations(
    placed: Sequence[str], *, present: Callable[[str], bool], dags_dir: Path, style: Literal["relative", "absolute"]
) -> list[str]:
    """The files to name in rows, spelled as Airflow spells them.

    Airflow parses what a row names even when an `.airflowignore` excludes it. So no row is made below a folder that has
    one, and Airflow's own scan finds the file. `present` says whether a path is in the DAGs folder.
    """
    wanted = [
        path
        for path in placed
        if path.endswith(PARSED)
        and not present(IGNORE_FILE)
        and not any(present(f"{folder}/{IGNORE_FILE}") for folder in parents(path))
    ]
    return [path if style == "relative" else str(dags_dir / path) for path in wanted[:MOST_ROWS]]


class Reminders:
    """Which files to name a second time, and when. Pure: times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def note(self, files: Sequence[str], now: float) -> None:
        """Note that these were named just now; a file that changes again is named again after its last change."""
        dags = [file for file in files if file.endswith(PARSED)]
        self._due |= dict.fromkeys(dags[:MOST_ROWS], now + SECOND_TIME)

    def take(self, now: float) -> tuple[str, ...]:
        """The files whose time has come; each once."""
        due = tuple(file for file, moment in self._due.items() if moment <= now)
        for file in due:
            del self._due[file]
        return due


class PriorityParsing:
    """Inserts the rows over one connection that is opened when needed."""

    def __init__(self, database: DatabaseConfig, request: PriorityParse, *, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._request = request
        self._monotonic = monotonic
        self._connection: psycopg.Connection | None = None
        self._used = 0.0

    def ask(self, files: Sequence[str]) -> bool:
        """Insert one row a file, all or none; False when the database could not be used."""
        import psycopg  # noqa: PLC0415 - 7 MB that an environment without changes never needs

        kept = self._connection is not None
        try:
            try:
                self._insert(files)
            except psycopg.OperationalError:
                if not kept:
                    raise
                self.close()  # the server may have closed the kept connection since: once more, with a new one
                self._insert(files)
        except psycopg.Error as error:
            self.close()
            log.warning("Airflow could not be told of changed files", files=len(files), error=_sentence(error))
            return False
        self._used = self._monotonic()
        return True

    def close_when_idle(self) -> None:
        """Give the connection back when it has not been used for a while."""
        if self._connection is not None and self._monotonic() - self._used > IDLE:
            self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _insert(self, files: Sequence[str]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.transaction(), self._connection.cursor() as cursor:
            # Our own configuration gives the statement; only the parameter comes from strangers.
            cursor.executemany(self._request.sql, [(file,) for file in files])

    def _connect(self) -> psycopg.Connection:
        import psycopg  # noqa: PLC0415 - see `ask`
        from psycopg import conninfo  # noqa: PLC0415 - see `ask`

        database = self._database
        ours = {
            "host": database.host,
            "port": str(database.port),
            "dbname": database.dbname,
            "user": database.user,
            "password": database.password,
            "connect_timeout": str(TIMEOUT),
            "tcp_user_timeout": str(TIMEOUT * 1000),
            "options": f"-c statement_timeout={TIMEOUT}s",
            "application_name": "aerodrome-sidecar",
        }
        return psycopg.connect(conninfo.make_conninfo("", **(dict(database.options) | ours)), autocommit=True)


def _sentence(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
