"""Makes one REST call to an environment's Airflow, with a new token.

`assembly` gives `Caller.call` to the operations. `airflow.rest` says what may be asked and how an answer is read; this
module has only the connection and its failures. The caller says in whose name, and with which role.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from anyio import CapacityLimiter, to_thread
from yarl import URL

from aerodrome.airflow import rest, versions
from aerodrome.backends.contract import WebServer
from aerodrome.clock import Clock
from aerodrome.errors import RetryError
from aerodrome.identity import tokens
from aerodrome.model.environment import Environment
from aerodrome.model.tenant import Tenant

AT_ONCE = 8
"""Calls of one environment's Airflow at one time; the next wait for them, within their time."""

QUICK = 32 * 2**10
"""Bytes of an answer that is read at once; longer ones are read by a thread, one after the other."""

_GATEWAY_TIMEOUT = 504
_BAD_GATEWAY = 502

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None)
"""The time of a call counts from before it is sent."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Calls the REST API of any environment."""

    minter: tokens.Minter
    web_server: Callable[[Tenant], WebServer]
    clock: Clock
    _under_way: dict[str, _Calls] = field(default_factory=dict)
    _reader: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def call(
        self, environment: Environment, method: str, path: str, query: Any, body: Any, *, subject: str, role: str
    ) -> tuple[int, Any]:
        """Airflow's status and document; 502 or 504 when Airflow gave no answer in time.

        Raises:
            CallerError: path or query is none of Airflow's REST API.
            RetryError: the web server cannot be reached.
        """
        version = versions.lookup(environment.spec.airflow_version)
        request = rest.request(version, path=path, method=method, query=query, body=body)
        token = self.minter.mint(subject=subject, role=role, environment=environment.name, now=self.clock())
        try:
            async with asyncio.timeout(rest.TIMEOUT), self._place(environment.identifier):
                connector = self.web_server(environment.tenant).connector()
                async with aiohttp.ClientSession(connector=connector, timeout=_NO_TIMEOUT) as session:
                    status, body = await _sent(session, environment.name, request, token)
        except TimeoutError:
            sentence = f"Airflow did not answer within {rest.TIMEOUT:.0f} seconds; the call may still take effect."
            return _GATEWAY_TIMEOUT, _failure(sentence)
        except aiohttp.ClientError as error:
            sentence = f"Airflow's answer could not be read ({type(error).__name__}); the call may have taken effect."
            return _BAD_GATEWAY, _failure(sentence)
        if len(body) <= QUICK:
            return rest.document(status, body)
        return await to_thread.run_sync(rest.document, status, body, limiter=self._reader)

    @asynccontextmanager
    async def _place(self, environment: str) -> AsyncIterator[None]:
        """One of the calls that an environment may have under way, for the block."""
        calls = self._under_way.setdefault(environment, _Calls())
        calls.known += 1
        try:
            async with calls.free:
                yield
        finally:
            calls.known -= 1
            if not calls.known:
                del self._under_way[environment]


@dataclass
class _Calls:
    """The calls of one environment's Airflow."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    known: int = 0


async def _sent(session: aiohttp.ClientSession, name: str, request: rest.RestRequest, token: str) -> tuple[int, bytes]:
    """Status and body of Airflow's answer."""
    url = URL(f"http://localhost{request.target}", encoded=True)
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    try:
        async with session.request(
            request.method, url, headers=headers, data=request.body, allow_redirects=False
        ) as response:
            return response.status, await _body(response)
    except aiohttp.ClientConnectorError as error:
        raise RetryError(f"The web server of '{name}' cannot be reached; try again in a moment.") from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body; reading stops once it is longer than the limit."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > rest.RESPONSE_LIMIT:
            break
    return bytes(found)


def _failure(detail: str) -> dict[str, str]:
    return {"title": "No answer from Airflow", "detail": detail}
