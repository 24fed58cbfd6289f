"""Databases and roles of environments: made, cloned from a template, renamed, dropped.

Every function is idempotent, opens its own connection of the administering role and closes it. They work for a
superuser (the embedded server) and for a role with CREATEDB and CREATEROLE (an external one). Such a role must be a
member of each role that it makes objects for. This module knows nobody's tables.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psycopg
from psycopg import sql

from aerodrome import errors
from aerodrome.services import clusters
from aerodrome.services.clusters import Cluster
from aerodrome.services.postgres_conf import OWN_SCRAM_ITERATIONS

DatabaseOption = Literal["IS_TEMPLATE true", "IS_TEMPLATE false", "ALLOW_CONNECTIONS true", "ALLOW_CONNECTIONS false"]

LOCK_TIMEOUT = 600
"""Seconds to wait for an advisory lock: a template takes a migration of half a minute; arbitrary beyond that."""

OVERCOMMITMENT_EVERY = 15.0
"""Seconds between two questions whether environments may open more connections than there are."""

SET_OPTION_SINCE = 160_000
"""From this server version on, a grant of a role says whether SET ROLE is allowed."""

SCRAM_ITERATIONS_SINCE = 160_000
"""From this server version on, their number can be set."""


def ensure_role(
    cluster: Cluster, name: str, password: str, *, connection_limit: int | None = None, is_peoples: bool = False
) -> None:
    """Make the login role, or set the password and (unless None) the limit of connections of the existing one.

    The server gets only the password's SCRAM verifier, so none of its logs can hold the password. Of a role that is not
    `is_peoples` only our services and units use the password, and are spared the iterations.
    """
    with clusters.connect(cluster) as connection:
        if not is_peoples and connection.info.server_version >= SCRAM_ITERATIONS_SINCE:
            # libpq, which makes the verifier, heeds it
            connection.execute("SELECT set_config('scram_iterations', %s, false)", (str(OWN_SCRAM_ITERATIONS),))
        verifier = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        _alone(connection, f"role {name}")
        if not _role_exists(connection, name):
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier))
        )
        if connection_limit is not None:
            _limit(connection, name, connection_limit)
        _join(connection, name)


def ensure_database(cluster: Cluster, name: str, owner: str, template: str | None = None) -> None:
    """Make the database of the role `owner`, which alone may connect; a clone of `template` when given.

    In the clone, `owner` gets what belongs to the role of the template's name, also if an earlier call was cut short.
    Nobody may be connected to the template.

    Raises:
        RetryError: somebody is connected to the template.
    """
    with clusters.connect(cluster) as connection:
        _alone(connection, f"database {name}")
        if not _exists(connection, name):
            _create_database(connection, name, owner, template)
            if template is not None:
                _settle_sequences(cluster, name)
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        reassign = template is not None and template != owner and _role_exists(connection, template)
    if reassign and template is not None:
        with clusters.connect(cluster, name) as connection:
            connection.execute(
                sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(template), sql.Identifier(owner))
            )


def ensure_own(cluster: Cluster, name: str, password: str, *, connection_limit: int) -> None:
    """Make a person's database and the role of the same name that owns it, or mend what the role has done to either.

    Raises:
        RetryError: the server does not answer.
    """
    try:
        ensure_role(cluster, name, password, connection_limit=connection_limit, is_peoples=True)
        ensure_database(cluster, name, name)
        open_database(cluster, name)
    except psycopg.OperationalError as error:
        raise errors.RetryError(f"PostgreSQL at {cluster.host} does not answer: {error}") from error


@dataclass(frozen=True, slots=True)
class Connections:
    """How many connections a role has, and may have."""

    limit: int
    """-1: any number."""

    used: int
    most: int
    """What one environment may have of this server: half, so that others work whatever it does."""

    def allowed(self, wanted: int) -> int:
        """The limit that a role gets which asks for `wanted`."""
        return min(wanted, self.most)


def connections(cluster: Cluster, name: str) -> Connections | None:
    """Those of the role; None = there is no such role."""
    with clusters.connect(cluster) as connection:
        row = connection.execute(_CONNECTIONS, (name,)).fetchone()
    return Connections(int(row[0]), int(row[1]), max(1, int(row[2]) // 2)) if row else None


def limit_connections(cluster: Cluster, name: str, limit: int) -> bool:
    """Let the role have so many connections at once (-1: any number); False = an external server forbids us that.

    Connections beyond it that are open stay open.
    """
    with clusters.connect(cluster) as connection:
        _alone(connection, f"role {name}")
        try:
            _limit(connection, name, limit)
        except psycopg.errors.InsufficientPrivilege:
            return False
    return True


def let_reserved(cluster: Cluster, name: str) -> None:
    """Let the role have the connections that are kept free for it, where the server keeps any and lets us give them."""
    with clusters.connect(cluster) as connection, contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        if connection.info.server_version >= SET_OPTION_SINCE:
            connection.execute(sql.SQL("GRANT pg_use_reserved_connections TO {}").format(sql.Identifier(name)))


class Overcommitment:
    """What `overcommitment` says, asked of the server now and then: each answer costs a connection."""

    def __init__(self, cluster: Callable[[], Cluster], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._monotonic = monotonic
        self._asked_at, self._said = -math.inf, ""

    def sentence(self) -> str:
        """The sentence, which may be `OVERCOMMITMENT_EVERY` seconds old."""
        now = self._monotonic()
        if now - self._asked_at > OVERCOMMITMENT_EVERY:
            self._said, self._asked_at = overcommitment(self._cluster()), now
        return self._said


def overcommitment(cluster: Cluster) -> str:
    """That all roles together may have more connections than the server has for them, in a sentence; else empty.

    Empty also if it does not answer, which others tell.
    """
    try:
        with clusters.connect(cluster) as connection:
            row = connection.execute(_LIMITS).fetchone()
    except psycopg.OperationalError:
        return ""
    if row is None or row[0] <= row[1]:
        return ""
    return (
        f"Environments may open {row[0]} connections to PostgreSQL, which takes {row[1]}: several that open all of "
        "theirs leave none to the others. Raise AERODROME_QUOTA_ENVIRONMENTS (an external server's max_connections), "
        "and start PostgreSQL anew: aerodrome down, aerodrome up."
    )


def database_exists(cluster: Cluster, name: str) -> bool:
    """Whether there is a database of this name."""
    with clusters.connect(cluster) as connection:
        return _exists(connection, name)


def altered(cluster: Cluster, name: str, password: str) -> tuple[str, ...]:
    """What differs, in the database and in its owner of the same name, from what `mend` sets; in words.

    The role itself can change both, and so can any code that has its password.
    """
    with clusters.connect(cluster) as connection:
        if not _exists(connection, name):
            return ()
        found = tuple(words for words, _ in _differences(connection, name))
    return found if _knows(cluster, name, password) else (*found, KEY)


def mend(cluster: Cluster, name: str, password: str) -> tuple[str, ...]:
    """Set anew what the owner needs of the database and of its role; returns what differed, in words.

    If an external server does not let us set something, it stays as it is, and `altered` still reports it.

    Nothing happens when there is no such database. If nothing differed, it costs two connections.
    """
    with clusters.connect(cluster) as connection:
        if not _exists(connection, name):
            return ()
        found = _differences(connection, name)
        if found:
            _alone(connection, f"database {name}")
        for _, statement in found:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    if not _knows(cluster, name, password):
        ensure_role(cluster, name, password)
        return (*(words for words, _ in found), KEY)
    return tuple(words for words, _ in found)


def role_exists(cluster: Cluster, name: str) -> bool:
    """Whether there is a role of this name."""
    with clusters.connect(cluster) as connection:
        return _role_exists(connection, name)


def drop_database(cluster: Cluster, name: str) -> None:
    """Drop it, ending its connections; a template too. Nothing happens when there is none."""
    with clusters.connect(cluster) as connection:
        if not _exists(connection, name):
            return
        _alter(connection, name, "IS_TEMPLATE false")
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def drop_role(cluster: Cluster, name: str) -> None:
    """Drop it, once its databases are gone. Nothing happens when there is none."""
    with clusters.connect(cluster) as connection:
        if _role_exists(connection, name):
            connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def let_in(cluster: Cluster, name: str, role: str) -> None:
    """Let a role that owns nothing of the database read and write all that is in it."""
    wanted, guest = sql.Identifier(name), sql.Identifier(role)
    with clusters.connect(cluster, name) as connection:
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(wanted, guest))
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(guest))
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(sql.SQL("GRANT ALL ON ALL {} IN SCHEMA public TO {}").format(sql.SQL(kind), guest))


def rename_database(cluster: Cluster, name: str, new_name: str) -> None:
    """Rename it, ending its connections. Nothing happens when only `new_name` exists.

    Raises:
        NotFoundError: neither exists.
    """
    with clusters.connect(cluster) as connection:
        if not _exists(connection, name):
            if _exists(connection, new_name):
                return
            raise errors.NotFoundError(f"there is no database {name} to rename to {new_name}")
        _close(connection, name)
        with connection.transaction():  # or a kill in between would leave it closed under the new name
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new_name))
            )
            _alter(connection, new_name, "ALLOW_CONNECTIONS true")


def close_database(cluster: Cluster, name: str) -> None:
    """End its connections and let nobody in, as a copy or a rename demands."""
    with clusters.connect(cluster) as connection:
        _close(connection, name)


def open_database(cluster: Cluster, name: str) -> None:
    """Let its owner in again; undoes `close_database` and `make_template`."""
    with clusters.connect(cluster) as connection:
        _alter(connection, name, "IS_TEMPLATE false")
        _alter(connection, name, "ALLOW_CONNECTIONS true")


def make_template(cluster: Cluster, name: str) -> None:
    """Freeze it as a template: nobody connects any more, everyone who may make databases may clone it."""
    with clusters.connect(cluster) as connection:
        _close(connection, name)
        # Ours from now on: if its role owned it, REASSIGN OWNED in a clone would hand over the template itself.
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(sql.Identifier(name)))
        _alter(connection, name, "IS_TEMPLATE true")


def is_template(cluster: Cluster, name: str) -> bool:
    """Whether it exists and is frozen, which is the last step of building a template."""
    with clusters.connect(cluster) as connection:
        row = connection.execute("SELECT datistemplate FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return row is not None and bool(row[0])


def size(cluster: Cluster, name: str) -> int | None:
    """Bytes on disk of the database; None = there is none, or we may not know."""
    query = """
        SELECT pg_database_size(oid) FROM pg_database
        WHERE datname = %s AND has_database_privilege(oid, 'CONNECT')
    """
    with clusters.connect(cluster) as connection:
        row = connection.execute(query, (name,)).fetchone()
    return int(row[0]) if row is not None else None


def databases(cluster: Cluster, prefix: str = "") -> tuple[str, ...]:
    """The names of all databases that begin with `prefix`."""
    query = "SELECT datname FROM pg_database WHERE starts_with(datname, %s) ORDER BY datname"
    with clusters.connect(cluster) as connection:
        return tuple(str(row[0]) for row in connection.execute(query, (prefix,)).fetchall())


def openness(cluster: Cluster, prefixes: Iterable[str]) -> dict[str, bool]:
    """Every database whose name begins with one of these → whether it lets anybody in."""
    query = """
        SELECT datname, datallowconn FROM pg_database
        WHERE EXISTS (SELECT FROM unnest(%s::text[]) AS prefix WHERE starts_with(datname, prefix))
    """
    with clusters.connect(cluster) as connection:
        return {str(name): bool(lets_in) for name, lets_in in connection.execute(query, (list(prefixes),)).fetchall()}


@contextmanager
def advisory_lock(cluster: Cluster, name: str, *, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the server-wide lock of this name (one builder of a template); it ends with its holder's connection.

    Raises:
        RetryError: another session held it for `timeout` seconds.
    """
    with clusters.connect(cluster) as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(timeout * 1000)}ms",))
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (lock_key(name),))
        except psycopg.errors.LockNotAvailable as error:
            raise errors.RetryError(f"another session has held the lock {name} for {timeout:.0f} s") from error
        yield


def lock_key(name: str) -> int:
    """The 64-bit number that PostgreSQL knows the lock by."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


SETTLED = """
    SELECT pg_catalog.setval(seqrelid, pg_catalog.pg_sequence_last_value(seqrelid))
    FROM pg_catalog.pg_sequence WHERE pg_catalog.pg_sequence_last_value(seqrelid) IS NOT NULL
"""
"""Sets each sequence that has been used to its present number."""

_FREE_FOR_ALL = """
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - COALESCE(current_setting('reserved_connections', true), '0')::int
"""

_CONNECTIONS = f"""
    SELECT rolconnlimit, (SELECT count(*) FROM pg_stat_activity WHERE usesysid = role.oid), {_FREE_FOR_ALL}
    FROM pg_roles AS role WHERE rolname = %s
"""  # noqa: S608 - of ours alone

_LIMITS = f"SELECT COALESCE(sum(rolconnlimit), 0), {_FREE_FOR_ALL} FROM pg_roles WHERE rolcanlogin AND rolconnlimit > 0"  # noqa: S608 - as above

KEY = "the role's password"

STATE = """
    SELECT NOT rolcanlogin, NOT datallowconn, datistemplate, datconnlimit > -1,
        NOT (has_database_privilege(role.oid, base.oid, 'CONNECT')
            AND has_database_privilege(role.oid, base.oid, 'CREATE')
            AND has_database_privilege(role.oid, base.oid, 'TEMPORARY')),
        EXISTS (SELECT FROM aclexplode(COALESCE(datacl, acldefault('d', datdba))) WHERE grantee = 0),
        EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = role.oid AND setdatabase = 0),
        EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = role.oid AND setdatabase = base.oid),
        EXISTS (SELECT FROM pg_db_role_setting WHERE setrole = 0 AND setdatabase = base.oid)
    FROM pg_database AS base JOIN pg_roles AS role ON rolname = datname WHERE datname = %s
"""
"""Whether each of `_REMEDIES` is needed. A limit of -2 marks a database whose removal was broken off."""

_REMEDIES = (
    ("the role's right to log in", "ALTER ROLE {} LOGIN"),
    ("whether the database lets anybody in", "ALTER DATABASE {} ALLOW_CONNECTIONS true"),
    ("whether the database is a template", "ALTER DATABASE {} IS_TEMPLATE false"),
    ("the database's connection limit", "ALTER DATABASE {} CONNECTION LIMIT -1"),
    ("the role's rights in the database", "GRANT ALL ON DATABASE {0} TO {0}"),
    ("everybody's rights in the database", "REVOKE ALL ON DATABASE {} FROM PUBLIC"),
    ("the role's settings", "ALTER ROLE {} RESET ALL"),
    ("the role's settings in the database", "ALTER ROLE {0} IN DATABASE {0} RESET ALL"),
    ("the database's settings", "ALTER DATABASE {} RESET ALL"),
)


def _differences(connection: psycopg.Connection, name: str) -> list[tuple[str, sql.Composed]]:
    """What differs, and the statement that sets it anew; nothing if the database does not exist."""
    row = connection.execute(STATE, (name,)).fetchone()
    needed = zip(_REMEDIES, row or (), strict=False)
    return [(words, sql.SQL(text).format(sql.Identifier(name))) for (words, text), is_needed in needed if is_needed]


def _knows(cluster: Cluster, name: str, password: str) -> bool:
    """Whether the password is the role's; also yes if it is kept out of the database for another reason."""
    try:
        psycopg.connect(cluster.dsn(name, name, password), connect_timeout=clusters.CONNECT_TIMEOUT).close()
    except psycopg.OperationalError as error:
        return "password authentication failed" not in str(error)
    return True


def _limit(connection: psycopg.Connection, name: str, limit: int) -> None:
    connection.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(name), sql.Literal(limit)))


def _alone(connection: psycopg.Connection, what: str) -> None:
    """Let callers with the same name work one after another; ends with the connection."""
    connection.execute("SELECT pg_advisory_lock(%s)", (lock_key(what),))


def _create_database(connection: psycopg.Connection, name: str, owner: str, template: str | None) -> None:
    command = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template0")
    )
    try:
        connection.execute(command)
    except psycopg.errors.ObjectInUse as error:
        raise errors.RetryError(
            f"the template {template} is in use; it can be cloned when nobody is connected"
        ) from error


def _settle_sequences(cluster: Cluster, name: str) -> None:
    """Let no sequence of a new clone go back when the server crashes.

    PostgreSQL logs a sequence ahead of its use. It does not log the numbers that it copies into a clone and that are
    still to be given out. Without this, a crash before the next checkpoint would have the clone give them out again.
    """
    with clusters.connect(cluster, name) as connection:
        connection.execute(SETTLED)


def _join(connection: psycopg.Connection, name: str) -> None:
    """Make us a member of the role: else a non-superuser may neither give it a database nor touch that database."""
    row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is not None and row[0]:
        return
    option = sql.SQL("WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= SET_OPTION_SINCE else "")
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER {}").format(sql.Identifier(name), option))


def _close(connection: psycopg.Connection, name: str) -> None:
    _alter(connection, name, "ALLOW_CONNECTIONS false")
    connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))


def _alter(connection: psycopg.Connection, name: str, option: DatabaseOption) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} WITH {}").format(sql.Identifier(name), sql.SQL(option)))


def _exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _role_exists(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchone() is not None
