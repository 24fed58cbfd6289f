"""Finds and removes what an installation has on external servers, for `aerodrome purge`.

An embedded PostgreSQL or Redis goes with the data folder. An external PostgreSQL has the ledger, the environments'
databases with their snapshots, templates, users' databases, those of the Redshift Data API, and their roles. An
external Redis has keys. The names of all of them come from the ledger and the data folder, and are never guessed:
somebody else may own what has a similar name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aerodrome import errors
from aerodrome.backends.databases import names
from aerodrome.emulator import launch
from aerodrome.emulator.redshift import warehouses
from aerodrome.ledger import connection, migrate
from aerodrome.ledger.environments import identifiers
from aerodrome.services import databases
from aerodrome.services.clusters import Cluster, ServerAwayError
from aerodrome.services.queues import Queues
from aerodrome.settings import EMBEDDED, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What exists on external servers; empty when everything is embedded."""

    databases: tuple[str, ...] = ()
    """The ledger's database comes last: while it exists, the rest can be found again."""

    roles: tuple[str, ...] = ()
    queues: tuple[Queues, ...] = ()
    unseen: str = ""
    """A sentence about what may exist as well; empty when everything was seen."""

    def sentences(self) -> list[str]:
        """What exists, one thing in each line; things in PostgreSQL as the statements that remove them."""
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
"""For a server that does not answer: what may exist there."""


def is_external(settings: Settings) -> bool:
    """Whether anything is outside the data folder."""
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
        # A snapshot has no role of its own: the environment's role owns it.
        roles = {*found, *(names.live(each) for each in known), *ledger}
        held = tuple(name for name in sorted(roles) if databases.role_exists(cluster, name))
        return Found(databases=(*found, *ledger), roles=held, queues=queues)
    except ServerAwayError as error:
        raise errors.RetryError(f"PostgreSQL at {cluster.host} does not answer: {error}") from error


def remove(cluster: Cluster, found: Found) -> None:
    """Remove everything that was found. After a kill in between, call it again with what `look` finds then.

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
    return Queues(identifier=identifier, folder=settings.paths.run / identifier / "spool", url=settings.redis_url)


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
