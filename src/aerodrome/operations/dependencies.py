"""What operations work with, as one value that `assembly` fills in.

Operations see the ledger, IAM, the bucket and Airflow only through these fields, so that tests may put memory behind
them. It must not grow into a place where things are looked up: every field is a dependency of some operation.
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
    """Where snapshots lie."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot's database and archive; `identifier` is its environment's. Blocks."""


class RestCall(Protocol):
    """One call of an environment's Airflow REST API, in somebody's name."""

    async def __call__(
        self, environment: Environment, method: str, path: str, query: Any, body: Any, *, subject: str, role: str
    ) -> tuple[int, Any]:
        """Airflow's status and its answer as a JSON document; query and body are JSON documents or None.

        Raises:
            CallerError: path or query is not acceptable.
            RetryError: the web server cannot be reached, so nothing can have happened. Every other mishap is a status
                of 502 or 504.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Everything that operations work with. The ledger and what lies behind it block."""

    environments: Environments
    snapshots: Snapshots
    archives: Archives
    logins: Logins
    authorizer: Authorizer
    preflight: Preflight
    vault: Vault
    rest: RestCall

    offered_versions: tuple[str, ...]
    """Airflow versions that an environment may be created with or moved to."""

    latest_version: str
    """The one that is taken when a request names none."""

    gateway_ports: Ports
    """Where the gateway answers, for the addresses that callers are told."""

    settings: Settings
    clock: Clock
