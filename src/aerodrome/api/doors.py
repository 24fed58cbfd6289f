"""What the front door needs from the rest of Aerodrome, as one value that `runtime` fills in.

The API sees other rooms only through these fields, so that tests may put memory behind them. It must not grow into a
place where things are looked up: every field is one dependency of one operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from aerodrome.clock import Clock
from aerodrome.model.environment import Environment, Spec
from aerodrome.model.lifecycle import Event
from aerodrome.settings import Settings


class Environments(Protocol):
    """The ledger as the API sees it. Methods block; the API calls them in worker threads."""

    def create(
        self, name: str, spec: Spec, tags: Mapping[str, str], *, sealed_secrets: bytes, quota: int, now: datetime
    ) -> Environment:
        """Write a new environment in status CREATING.

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

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Add tags; a key that is there already gets the new value."""

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        """Remove tags; keys that are not there are passed over."""

    def record(self, name: str, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        """Append to the environment's event log."""


RestCall = Callable[[Environment, str, str, Any, Any], Awaitable[tuple[int, Any]]]
"""(environment, method, path, query, body) → Airflow's status and its answer as a JSON document.

Query and body are JSON documents or None. Raises CallerError when path or query is not acceptable, RetryError when the
web server cannot be reached, so that nothing can have happened; every other mishap is a status of 502 or 504.
"""


@dataclass(frozen=True, kw_only=True)
class Doors:
    """Everything behind the front door."""

    environments: Environments

    check_bucket: Callable[[Spec], None]
    """Raises CallerError when the source bucket is not fit for an environment. Blocks."""

    new_secrets: Callable[[], bytes]
    """The secrets of a new environment, sealed already."""

    offered_versions: tuple[str, ...]
    """Airflow versions that CreateEnvironment accepts."""

    latest_version: str
    """The one that is taken when the request names none."""

    clock: Clock
    settings: Settings
    rest: RestCall

    aws_endpoint_url: str | None
    """Where requests for other AWS services go; None when the real AWS is in use and clients must talk to it."""
