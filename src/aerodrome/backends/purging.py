"""What an installation has on servers that are not its own, and its removal: for `aerodrome purge`.

An embedded PostgreSQL or Redis goes with the data folder. In external ones lie the ledger, the databases of
environments with their snapshots, templates, users' databases, those of the Redshift Data API, their roles, and keys.
All are found by names that the ledger and the data folder tell, never by guessing at what somebody else may own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from aerodrome import errors
from aerodrome.backends.databases import names
from aerodrome.emulator import launch
from aerodrome.emulator.redshift import warehouses
from aerodrome.ledger import connection, migrate
from aerodrome.ledger.environments import identifiers
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster
from aerodrome.services.queues import Queues
from aerodrome.settings import EMBEDDED, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is on external servers; empty where all is embedded."""

    databases: tuple[str, ...] = ()
    """The ledger's last: while it is there, the rest can be found again."""

    roles: tuple[str, ...] = ()
    queues: tuple[Queues, ...] = ()
    unseen: str = ""
    """What there may be besides."""

    def sentences(self) -> list[str]:
        """What there is, one thing a line; in PostgreSQL as what removes it there."""
        return [
            *([self.unseen] if self.unseen else []),
            *(f'DROP DATABASE "{name}" WITH (FORCE);' for name in self.databases),
            *(f'DROP ROLE "{name}";' for name in self.roles),
            *(f"Redis keys {pattern}" for each in self.queues for pattern in each.patterns),
        ]


UNSEEN = Found(
    unseen=f"a server does not answer: databases and roles {migrate.DATABASE}, env_…, next_…, try_…, snap_…, "
    f"{names.TEMPLATE}…, user_…, redshift_…, and Redis keys aerodrome:… and aerodrome-aside:…"
)
"""What there may be where nobody can look."""


def is_external(settings: Settings) -> bool:
    """Whether anything lies outside the data folder."""
    return settings.database_url != EMBEDDED or settings.redis_url != EMBEDDED


def look(settings: Settings, cluster: Cluster) -> Found:
    """What this installation has on external servers.

    Raises:
        RetryError: PostgreSQL does not answer.
    """
    try:
        has_ledger = databases.database_exists(cluster, migrate.DATABASE)
        known = _identifiers(cluster) if has_ledger else ()
        queues = () if settings.redis_url == EMBEDDED else tuple(_queues(settings, each) for each in known)
        if settings.database_url == EMBEDDED:
            return Found(queues=queues)
        found = tuple(_databases(settings, cluster, known))
        ledger = (migrate.DATABASE,) if has_ledger else ()
        # Of a snapshot there is no role: it belongs to the environment's.
        roles = {*found, *(names.live(each) for each in known), *ledger}
        held = tuple(name for name in sorted(roles) if databases.role_exists(cluster, name))
        return Found(databases=(*found, *ledger), roles=held, queues=queues)
    except psycopg.OperationalError as error:
        raise errors.RetryError(f"PostgreSQL at {cluster.host} does not answer: {error}") from error


def remove(cluster: Cluster, found: Found) -> None:
    """Remove all of it; killed in its midst, it may be called with what is found then.

    Raises:
        RetryError: Redis does not answer.
    """
    for queues in found.queues:
        queues.remove()
    for name in found.databases:
        databases.drop_database(cluster, name)
    for name in found.roles:
        databases.drop_role(cluster, name)


def _identifiers(cluster: Cluster) -> tuple[str, ...]:
    with connection.opened(cluster.superuser_dsn(migrate.DATABASE, scheme="postgresql+psycopg")) as engine:
        return identifiers(engine)


def _queues(settings: Settings, identifier: str) -> Queues:
    return Queues(identifier=identifier, spool=settings.paths.run / identifier / "spool", url=settings.redis_url)


def _databases(settings: Settings, cluster: Cluster, known: tuple[str, ...]) -> Iterator[str]:
    for identifier in known:
        live = names.live(identifier)
        yield from (
            name for name in (*names.others(cluster, identifier), live) if databases.database_exists(cluster, name)
        )
    yield from (name for name in names.templates(cluster) if databases.role_exists(cluster, name))
    for folder, names_in in (
        (settings.paths.user_databases, _names_of_users),
        (launch.redshift_folder(settings.paths.aws), warehouses.names),
    ):
        yield from (name for name in names_in(folder) if databases.database_exists(cluster, name))


def _names_of_users(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*"))
