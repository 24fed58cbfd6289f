"""What operations work with, as one value that `assembly` fills in.

Operations reach the ledger, IAM, the bucket and Airflow only through these fields, so that tests can replace them with
fakes. It must not become a place where things are looked up: an operation depends on every field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from aerodrome.clock import Clock
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.vault import Vault
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.logins import Logins
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model.environment import Environment
from aerodrome.model.web_address import Ports
from aerodrome.operations.preflight import Preflight
from aerodrome.settings import Settings


class Archives(Protocol):
    """Has the databases and archives of snapshots."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot's database and archive; `identifier` is its environment's. Blocks."""


class RestCall(Protocol):
    """One call of an environment's Airflow REST API, in a caller's name."""

    async def __call__(
        self, environment: Environment, method: str, path: str, query: Any, body: Any, *, subject: str, role: str
    ) -> tuple[int, Any]:
        """Airflow's status and its answer as a JSON document; query and body are JSON documents or None.

        Raises:
            CallerError: path or query is not acceptable.
            RetryError: the web server cannot be reached, so nothing has happened. For every other failure on the way,
                the status is 502 or 504.
        """


class Awake(Protocol):
    """Wakes environments that hibernate."""

    async def __call__(self, environment: Environment, why: str) -> None:
        """Return when the environment is awake; `why` is a sentence for its event log.

        Raises:
            RetryError: that takes longer than a client should wait.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that operations work with. Calls into the ledger and into AWS block."""

    environments: Environments
    snapshots: Snapshots
    archives: Archives
    logins: Logins
    authorizer: Authorizer
    preflight: Preflight
    vault: Vault
    rest: RestCall
    awake: Awake

    offered_versions: tuple[str, ...]
    """Airflow versions that an environment can be created with or moved to."""

    latest_version: str
    """The Airflow version for a request that names none."""

    gateway_ports: Ports
    """The gateway's ports, for the addresses that callers get."""

    settings: Settings
    clock: Clock
