"""What the gateway needs from the rest of Aerodrome, as one value that `assembly` fills in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aerodrome.backends.contract import CommandResult, WebServer
from aerodrome.clock import Clock
from aerodrome.identity.tokens import Minter
from aerodrome.ledger.logins import Logins
from aerodrome.model.audit import Recorder
from aerodrome.model.environment import Environment
from aerodrome.model.principals import Principal
from aerodrome.model.tenant import Tenant
from aerodrome.settings import Settings


@dataclass(frozen=True, kw_only=True)
class GatewayDependencies:
    """Everything behind the gateway."""

    environments: Callable[[], Sequence[Environment]]
    """All environments. Blocks; asked once a second at most."""

    logins: Logins
    """Blocks; called in threads."""

    minter: Minter

    still_granted: Callable[[Principal, Environment, str, str], bool]
    """(principal, environment, role, client's IP address): whether IAM still grants `airflow:CreateWebLoginToken` on
    that role of the environment. May block; called in threads, once in a few seconds for each session and address.
    """

    run_command: Callable[[Environment, str], Awaitable[CommandResult]]
    """Runs an Airflow command, given as text without the word `airflow`.

    Raises:
        CallerError: the command is not one that is allowed.
        RetryError: it cannot be run just now.
    """

    web_server: Callable[[Tenant], WebServer]
    """Where an environment's requests go now. Quick."""

    record: Recorder

    awake: Callable[[Environment, str], Awaitable[None]]
    """Returns when the environment is awake; the text is a sentence that says who needs it.

    Raises:
        RetryError: it hibernated, and waking it takes longer than a client should wait.
    """

    clock: Clock
    settings: Settings
