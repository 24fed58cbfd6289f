"""What operations work with, as one value that `assembly` fills in.

Operations see the ledger, IAM, the bucket and Airflow only through these fields, so that tests may put memory behind
them. It must not grow into a place where things are looked up: every field is a dependency of some operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from aerodrome.clock import Clock
from aerodrome.identity.authorizer import Authorizer
from aerodrome.model.change import Change
from aerodrome.model.environment import Environment
from aerodrome.model.lifecycle import Event
from aerodrome.model.principals import Principal
from aerodrome.model.spec import Spec
from aerodrome.model.web_address import Ports
from aerodrome.settings import Settings


class Environments(Protocol):
    """The ledger as the API sees it. Methods block; the API calls them in worker threads."""

    def create(
        self,
        name: str,
        spec: Spec,
        tags: Mapping[str, str],
        *,
        sealed_secrets: bytes,
        quota: int,
        now: datetime,
        requested_by: str | None,
    ) -> Environment:
        """Write a new environment in status CREATING; `requested_by` is an ARN.

        Raises:
            CallerError: the name is taken, or `quota` environments exist already.
        """

    def get(self, name: str) -> Environment | None: ...

    def names(self, *, after: str | None, limit: int) -> list[str]:
        """At most `limit` names in ascending order, those behind `after` only."""

    def request(self, name: str, event: Event, now: datetime) -> Environment:
        """Apply an event of the lifecycle table.

        Raises:
            NotFoundError: there is no such environment.
            CallerError: its status does not allow the event.
        """

    def begin(self, seen: Environment, change: Change) -> Environment:
        """Begin a change of an environment that was `seen` so; the change's revision is given out here.

        Raises:
            NotFoundError: it is gone.
            CallerError: its status does not allow a change, or another change came between.
        """

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that is there already gets the new value."""

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        """Remove tags; keys that are not there are passed over."""

    def record(self, name: str, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Append to the environment's event log."""


class Logins(Protocol):
    """One-time tokens for the gateway. Methods block."""

    def issue(
        self, kind: Literal["web", "cli"], environment: str, role: str | None, principal: Principal, *, now: datetime
    ) -> str:
        """A token that the gateway takes once within a minute, for this environment only."""


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
    """Everything that operations work with."""

    environments: Environments
    authorizer: Authorizer
    logins: Logins

    gateway_ports: Ports
    """Where the gateway answers, for the addresses that callers are told."""

    check_execution_role: Callable[[str, Spec], None]
    """Raises CallerError when the execution role does not exist or does not trust MWAA. Blocks."""

    check_version: Callable[[str], None]
    """Raises CallerError when an Airflow version on offer cannot be run on this machine. Blocks."""

    warnings: Callable[[Spec], list[str]]
    """What is accepted and will surprise: a sentence each."""

    checked_bucket: Callable[[Spec], Spec]
    """The spec with the S3 versions of its files filled in. Raises CallerError when the bucket is not fit. Blocks."""

    new_secrets: Callable[[], bytes]
    """The secrets of a new environment, sealed already."""

    offered_versions: tuple[str, ...]
    """Airflow versions that CreateEnvironment and UpdateEnvironment accept."""

    latest_version: str
    """The one that is taken when the request names none."""

    clock: Clock
    settings: Settings
    rest: RestCall
