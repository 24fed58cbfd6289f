"""The CLI endpoint: one Airflow command as text, its output as base64 in JSON, as on MWAA.

A token by CreateCliToken serves one command. A few commands run at once in each environment, and a few more wait for a
moment.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.responses import Response

from aerodrome.backends.contract import CommandResult
from aerodrome.errors import CallerError, RetryError
from aerodrome.gateway import auditing, bodies, pages
from aerodrome.gateway.dependencies import GatewayDependencies
from aerodrome.gateway.ledger_threads import LedgerThreads
from aerodrome.gateway.login import BEARER, LONGEST_TOKEN
from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest
from aerodrome.ledger.logins import Login
from aerodrome.model.audit import AuditKind

LONGEST_COMMAND = 64 * 1024
"""Bytes."""

AT_ONCE = 4
"""Commands that run in one environment (MWAA's own number)."""

MOST_WAITING = 8
WAITING_SECONDS = 10.0

_WORDS = re.compile(r"\s*([a-z][a-z_-]*(?:\s+[a-z][a-z-]*)?)(?=\s|$)")
"""The words of the command itself; what follows may hold a secret and is not recorded."""


class CliEndpoint:
    """Runs commands; only so many at once."""

    def __init__(self, deps: GatewayDependencies, threads: LedgerThreads) -> None:
        self._deps = deps
        self._threads = threads
        self._slots: dict[str, _CommandSlots] = {}

    async def answer(self, visit: GatewayRequest) -> Response:
        """Run the command in the body.

        Raises:
            GatewayRefusal: the token or the command is not valid, or it cannot be run now.
        """
        text = _text(visit, await bodies.read(visit, LONGEST_COMMAND))
        login = await self._redeemed(visit)
        action = _action(text)
        try:
            await self._deps.awake(visit.environment, f"{login.principal.airflow_name} uses its command line.")
            async with self._turn(visit.environment.identifier):
                result = await self._deps.run_command(visit.environment, text)
        except CallerError as error:
            self._record(visit, login, action, str(error), allowed=False)
            raise GatewayRefusal(400, str(error)) from None
        except RetryError as error:
            self._record(visit, login, action, str(error), allowed=True)
            raise GatewayRefusal(503, str(error), headers={"retry-after": str(max(1, round(error.delay)))}) from None
        self._record(visit, login, action, f"Ended with exit code {result.exit_code}.", allowed=True)
        return _document(result)

    async def _redeemed(self, visit: GatewayRequest) -> Login:
        environment, now = visit.environment, self._deps.clock()
        authorization = visit.headers.get(b"authorization", b"")
        token = authorization[len(BEARER) :].strip().decode("latin-1")
        if authorization[: len(BEARER)].lower() == BEARER and 0 < len(token) <= LONGEST_TOKEN:
            login = await self._threads.run(lambda: self._deps.logins.redeem(token, "cli", environment.name, now=now))
            if login is not None and login.issued_at >= environment.created_at:
                return login
        sentence = "The CLI token is not valid: it lives a minute, works once, and only for its own environment."
        auditing.record(self._deps, visit, AuditKind.CLI_COMMAND, sentence, allowed=False)
        raise GatewayRefusal(401, sentence)

    def _record(self, visit: GatewayRequest, login: Login, action: str, sentence: str, *, allowed: bool) -> None:
        auditing.record(
            self._deps,
            visit,
            AuditKind.CLI_COMMAND,
            sentence,
            principal=login.principal,
            allowed=allowed,
            action=action,
        )

    @asynccontextmanager
    async def _turn(self, identifier: str) -> AsyncIterator[None]:
        """One of the slots in which commands run; raises RetryError when none comes free in time."""
        slots = self._slots.setdefault(identifier, _CommandSlots())
        if slots.waiting >= MOST_WAITING:
            raise RetryError(f"{AT_ONCE} commands run already and others wait; try again later.", delay=5)
        slots.waiting += 1
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await slots.free.acquire()
        except TimeoutError:
            raise RetryError(f"{AT_ONCE} commands run already; try again later.", delay=5) from None
        finally:
            slots.waiting -= 1
        try:
            yield
        finally:
            slots.free.release()


@dataclass
class _CommandSlots:
    """The slots in which one environment's commands run."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    waiting: int = 0


def _text(visit: GatewayRequest, body: bytes) -> str:
    """The command: the body itself, or what a JSON body says."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise GatewayRefusal(400, "The command is not UTF-8 text.") from None
    kind = visit.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind == b"application/json":
        # Many clients say JSON and send the bare command, as MWAA lets them.
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = text
        command = document.get("command") if isinstance(document, dict) else document
        if not isinstance(command, str):
            raise GatewayRefusal(400, 'Send the command as text, or as JSON: {"command": "dags list"}.')
        text = command
    if not text.strip():
        raise GatewayRefusal(400, "The body holds no command; send one without the word airflow, such as: dags list")
    return text


def _action(text: str) -> str:
    match = _WORDS.match(text)
    return " ".join(match[1].split()) if match else "(unreadable)"


def _document(result: CommandResult) -> Response:
    """MWAA's answer; its status is 400 when the command failed, and it has the output all the same."""
    body = {
        "stdout": base64.b64encode(result.stdout).decode(),
        "stderr": base64.b64encode(result.stderr).decode(),
    }
    return pages.document(200 if result.exit_code == 0 else 400, body)
