"""Web sessions: opened by a login token, looked up on every request, closed when IAM or the person says so.

The ledger is the truth. An answer of the ledger counts for `TRUSTED` seconds, so that a page with fifty requests asks
once. A permission that is taken away ends its sessions within the same time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from datetime import datetime

from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.gateway.ledger_threads import LedgerThreads
from aerodrome.gateway.requests import GatewayRequest
from aerodrome.ledger.logins import Login
from aerodrome.model.environment import Environment

TRUSTED = 5.0
"""Seconds."""

MOST_KEPT = 4096
"""Sessions in memory; each further one costs a look into the ledger."""

LONGEST_SECRET = 128
"""Characters; what is longer is no session of ours."""

Key = tuple[str, str, str]
"""Secret, identifier of the environment, the client's address: IAM may allow one address and not the other."""


class RevokedError(Exception):
    """The session was closed just now, because IAM no longer grants its role."""


class Sessions:
    """Every environment's sessions."""

    def __init__(self, deps: GatewayDependencies, threads: LedgerThreads) -> None:
        self._deps = deps
        self._threads = threads
        self._kept: OrderedDict[Key, tuple[Login, float]] = OrderedDict()
        self._asked: dict[Key, asyncio.Task[Login | None]] = {}

    async def log_in(self, visit: GatewayRequest, token: str) -> tuple[str, Login] | None:
        """Redeem a web login token: the new session's secret and whose it is; None when the token is not valid."""
        name, now = visit.environment.name, self._deps.clock()

        def redeemed() -> tuple[str, Login] | None:
            login = self._deps.logins.redeem(token, "web", name, now=now)
            if login is None or login.role is None or _is_for_another(login, visit.environment):
                return None
            return self._deps.logins.open_session(name, login.role, login.principal, now=now), login

        return await self._threads.run(redeemed)

    async def find(self, environment: Environment, secrets: Iterable[str], address: str) -> Login | None:
        """Whose session the first valid one of `secrets` is; None when none is valid.

        Raises:
            RevokedError: the session was valid, but IAM no longer grants it.
        """
        for secret in secrets:
            if 0 < len(secret) <= LONGEST_SECRET:
                login = await self._find((secret, environment.identifier, address), environment)
                if login is not None:
                    return login
        return None

    async def log_out(self, secrets: Iterable[str]) -> None:
        """Close these sessions, if there are any."""
        closed = [secret for secret in secrets if 0 < len(secret) <= LONGEST_SECRET]

        def close() -> None:
            for secret in closed:
                self._deps.logins.close_session(secret)

        await self._threads.run(close)
        for key in [key for key in self._kept if key[0] in closed]:
            del self._kept[key]

    async def _find(self, key: Key, environment: Environment) -> Login | None:
        now = self._deps.clock()
        kept = self._kept.get(key)
        if kept is not None and time.monotonic() - kept[1] < TRUSTED:
            login = kept[0]
            return login if _stands(login, environment, now) else None
        asked = self._asked.get(key)
        if asked is None:
            asked = asyncio.create_task(self._ask(key, environment, now))
            self._asked[key] = asked
            asked.add_done_callback(lambda task: self._answered(key, task))
        return await asyncio.shield(asked)

    async def _ask(self, key: Key, environment: Environment, now: datetime) -> Login | None:
        self._kept.pop(key, None)
        asked_at = time.monotonic()
        secret = key[0]

        def found() -> Login | None:
            login = self._deps.logins.session(secret, environment.name, now=now)
            if login is None or login.role is None or not _stands(login, environment, now):
                return None
            if not self._deps.still_granted(login.principal, environment, login.role, key[2]):
                self._deps.logins.close_session(secret)
                raise RevokedError
            return login

        login = await self._threads.run(found)
        if login is not None:
            self._kept[key] = (login, asked_at)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return login

    def _answered(self, key: Key, task: asyncio.Task[Login | None]) -> None:
        del self._asked[key]
        if not task.cancelled():
            task.exception()  # whoever asked has been told; perhaps nobody waited to the end


def _stands(login: Login, environment: Environment, now: datetime) -> bool:
    return now < login.expires_at and not _is_for_another(login, environment)


def _is_for_another(login: Login, environment: Environment) -> bool:
    """True when the environment was made anew under the same name since."""
    return login.issued_at < environment.created_at
