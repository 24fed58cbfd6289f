"""How a PostgreSQL server is reached, embedded or external, as one value.

`postgres` makes the embedded one, `external` one from a URL; `databases` and the ledger use it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo

from aerodrome import errors

PostgresError = psycopg.Error
"""Whatever goes wrong between us and a server."""

ServerAwayError = psycopg.OperationalError
"""A server does not answer, or cannot now; it is asked again later."""

CONNECT_TIMEOUT = 10
"""Seconds for one connection."""

OLDEST = 14
"""The oldest major version whose commands we use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A server, and the role that administers it: a superuser, or one with CREATEDB and CREATEROLE."""

    host: str
    """The folder of the unix socket, or a host name: what libpq calls host."""
    user: str
    password: str = field(repr=False)
    port: int = 5432
    database: str = "postgres"
    """The database that administration connects to."""
    options: tuple[tuple[str, str], ...] = ()
    """More of libpq's connection parameters, such as sslmode; every dsn carries them."""

    def dsn(self, database: str, user: str, password: str, *, scheme: str = "postgresql") -> str:
        """A URL for libpq or (with a scheme such as `postgresql+psycopg2`) for SQLAlchemy. Holds the password."""
        credentials = f"{_quoted(user)}:{_quoted(password)}"
        query = urlencode([("host", self.host), ("port", str(self.port)), *self.options], quote_via=quote, safe="")
        return f"{scheme}://{credentials}@/{_quoted(database)}?{query}"

    def superuser_dsn(self, database: str | None = None, *, scheme: str = "postgresql") -> str:
        """The administering role's URL, to `database` or (None) to the one for administration."""
        return self.dsn(database or self.database, self.user, self.password, scheme=scheme)


def external(url: str) -> Cluster:
    """The server that the setting `database_url` names.

    Raises:
        CallerError: it is no PostgreSQL URL with a host and a user.
    """
    try:
        parts = {name: str(value) for name, value in conninfo.conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise errors.CallerError(
            "AERODROME_DATABASE_URL is not a PostgreSQL URL: postgresql://user:password@host/db"
        ) from error
    if "host" not in parts or "user" not in parts:
        raise errors.CallerError(
            "AERODROME_DATABASE_URL must name a host and a user: postgresql://user:password@host/db"
        )
    known = {"host", "port", "user", "password", "dbname"}
    return Cluster(
        host=parts["host"],
        user=parts["user"],
        password=parts.get("password", ""),
        port=int(parts.get("port", 5432)),
        database=parts.get("dbname", "postgres"),
        options=tuple((name, value) for name, value in sorted(parts.items()) if name not in known),
    )


def connect(cluster: Cluster, database: str | None = None) -> psycopg.Connection:
    """A connection of the administering role, in autocommit as CREATE DATABASE needs it."""
    return psycopg.connect(
        cluster.superuser_dsn(database),
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT,
        application_name="aerodrome",
    )


def require(cluster: Cluster) -> None:
    """Check that an external server answers, is new enough, and lets us make databases and roles.

    Raises:
        RetryError: it does not answer.
        CallerError: it answers, but is too old or refuses.
    """
    try:
        with connect(cluster) as connection:
            row = connection.execute(
                "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            version = connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        raise errors.RetryError(f"PostgreSQL at {cluster.host} does not answer: {error}") from error
    if version < OLDEST:
        raise errors.CallerError(f"PostgreSQL at {cluster.host} is version {version}; {OLDEST} or later is needed")
    if row is None or not row[0]:
        raise errors.CallerError(
            f"the role {cluster.user} may not make databases and roles; "
            f"let a superuser run: ALTER ROLE {cluster.user} CREATEDB CREATEROLE"
        )


def _quoted(part: str) -> str:
    return quote(part, safe="")
