"""The program of the embedded AWS emulator: MiniStack's application behind our rules, on a socket of its own.

Started detached with the argv and environment that `launch.describe` gives; nothing imports it. Where the control
plane is root, it is not: it has its own user, and its folders alone are that user's. It adds to MiniStack:
refusals (`rules`), the Redshift Data API (`redshift`), no process and no listener besides its own
whatever a service is asked, SQL that sees only copies made for it, and a checkpoint of its state after changes, where
MiniStack saves only on an orderly stop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import duckdb

from aerodrome.budget import BusyError
from aerodrome.emulator import athena, checksums, full_disk, memory, parts, reach, resources, rules, spooled
from aerodrome.emulator.own_address import OwnAddress
from aerodrome.emulator.reach import QueryReach
from aerodrome.emulator.redshift.entry import Redshift
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.server import HttpServer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

FORBIDDEN = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "pty.spawn"}
)
"""Audit events of starting a process: Glue's Python jobs would run a user's code as us."""

SQL_MEMORY = "1GB"
SQL_THREADS = 2
"""What one Athena query may take; arbitrary."""

CHECKPOINT_INTERVAL = 1.0
"""Seconds between a change and its checkpoint at least."""

CHECKPOINT_SHARE = 0.05
"""The part of the time that checkpoints may take: a large state is saved less often."""

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than the pauses of those that look every second or minute."""

STANDSTILL = 30.0
"""Seconds without a byte of a body that is not over; arbitrary."""

GRACEFUL = 3
"""Seconds that open requests get at a stop."""

GIVEN = 3
"""The descriptor of a socket that is given."""

LIMITS = ConnectionLimits(total=1024, each_peer=768, bodies_each_peer=768)
"""Of the listener; what the API passes on comes from one peer."""


class EmulatorFront:
    """The ASGI application that answers for MiniStack, or refuses."""

    def __init__(
        self, inner: Application, redshift: Redshift, *, identity: str, domain: str, spool: Path | None
    ) -> None:
        self._inner = inner
        self._redshift = redshift
        self._identity = identity
        self._domain = domain
        self._spool = spool
        self._budget = memory.budget()
        self._trimmer = memory.Trimmer()
        self.changed = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        if path == rules.HEALTH:
            await _respond(send, 200, {"emulator": self._identity})
            return
        if self._spool is not None and path.startswith(f"{rules.QUESTIONS}/"):
            await self._question(path.removeprefix(f"{rules.QUESTIONS}/"), receive, send)
            return
        if self._spool is not None and (name := headers.pop(rules.BODY_HEADER.decode(), None)) is not None:
            receive = spooled.given(self._spool / name, scope, headers, receive)
        refusal = rules.refusal(path, scope["query_string"].decode("latin-1"), headers, domain=self._domain)
        if refusal is not None:
            await _respond(send, refusal.status, {"__type": refusal.code, "message": refusal.message})
            return
        with reach.within(self._reach(headers)):
            await self._answered(scope, headers, receive, send)

    async def _question(self, question: str, receive: Receive, send: Send) -> None:
        """Answer the door."""
        body, message = b"", await receive()
        while message["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
            message = await receive()
        found = resources.answer(question, json.loads(body or b"{}"))
        status = 404 if found is None else 200
        await _send(send, status, json.dumps(found).encode(), [(b"content-type", b"application/json")])

    def _reach(self, headers: dict[str, str]) -> QueryReach | None:
        """What SQL may read for who sends the request; the door alone says it, and nothing said is nothing."""
        if self._spool is None:
            return None
        named = headers.get(rules.REACH_HEADER.decode(), "")
        return QueryReach(frozenset(name for name in named.split(",") if name))

    async def _answered(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        if rules.is_for_redshift(headers):
            status, body = await self._redshift.answer(headers, _bounded(receive))
            await _send(send, status, body, [(b"content-type", b"application/x-amz-json-1.1")])
            return
        length = rules.body_length(scope["method"], headers)
        try:
            async with self._budget.share(length, rules.signed_by(headers)):
                await self._inner(scope, _bounded(receive), send)
        except BusyError:
            await _respond(
                send, 503, {"__type": "SlowDown", "message": "other large requests are under way; try again"}
            )
            return
        self._trimmer.after(length)
        if rules.changes_state(scope["method"], headers):
            self.changed.set()


def _bounded(receive: Receive) -> Receive:
    """A body ends, as if its sender had gone, where it is too long or stands still: it holds a part of the budget."""
    received, is_over = 0, False

    async def bounded() -> Message:
        nonlocal received, is_over
        try:
            async with asyncio.timeout(None if is_over else STANDSTILL):
                message = await receive()
        except TimeoutError:
            return {"type": "http.disconnect"}
        received += len(message.get("body", b""))
        is_over = not message.get("more_body", False)
        return message if received <= rules.BODY_LIMIT else {"type": "http.disconnect"}

    return bounded


async def _respond(send: Send, status: int, document: dict[str, str]) -> None:
    headers = [(b"content-type", b"application/json")]
    if "__type" in document:
        headers.append((b"x-amzn-errortype", document["__type"].encode()))
    await _send(send, status, json.dumps(document).encode(), headers)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", b"%d" % len(body)), (b"x-amzn-requestid", str(uuid.uuid4()).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def confine_process(address: OwnAddress) -> None:
    """From now on, no process can be started here, and no socket bound but our own. It cannot be undone."""
    if sys.platform == "linux":
        from aerodrome.cell import kernel, seccomp  # noqa: PLC0415 -- there is none elsewhere

        kernel.forbid_new_privileges()
        kernel.be_untraceable()
        seccomp.refuse()

    def judge(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            raise PermissionError(f"the embedded emulator starts no processes ({event})")
        if event == "socket.bind" and arguments[1] != address.bound:
            raise PermissionError("the embedded emulator opens no further listener")

    sys.addaudithook(judge)


def confine_sql(temporary: str) -> None:
    """From now on, SQL sees the copies of objects that were made for it, and nothing else.

    What SQL may read it may also write (COPY, even inside WITH), so no object's own file is ever in its reach.
    """
    connect = duckdb.connect

    def folders() -> list[str]:
        within = reach.current()
        return [temporary] if within is None else list(within.folders)

    def confined(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*arguments, **options)
        connection.execute("SET disabled_optimizers = 'type_pushdown'")  # as MiniStack does, before the lock
        connection.execute(f"SET memory_limit = '{SQL_MEMORY}'")
        connection.execute(f"SET threads = {SQL_THREADS}")
        connection.execute(f"SET temp_directory = {_literal(tempfile.gettempdir())}")
        connection.execute(f"SET allowed_directories = [{', '.join(map(_literal, folders()))}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return connection

    duckdb.connect = confined


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def keep_checkpoints(front: EmulatorFront, save: Callable[[], None]) -> None:
    """Save after changes, for ever; the longer a save takes, the longer the pause."""
    while True:
        await front.changed.wait()
        await asyncio.sleep(CHECKPOINT_INTERVAL)
        front.changed.clear()
        began = time.monotonic()
        save()
        await asyncio.sleep((time.monotonic() - began) / CHECKPOINT_SHARE)


async def run(front: EmulatorFront, redshift: Redshift, save: Callable[[], None], address: OwnAddress) -> None:
    """Serve until SIGTERM; MiniStack then saves everything itself."""
    server = HttpServer(
        front,
        LIMITS,
        lifespan="on",
        date_header=False,  # MiniStack writes it
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACEFUL,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.leave)
    checkpoints = asyncio.create_task(keep_checkpoints(front, save))
    with listening(address) as listener:
        await server.serve(sockets=[listener])
    checkpoints.cancel()
    await redshift.close()


def listening(address: OwnAddress) -> socket.socket:
    """The socket at the address: given by whoever started us (sd_listen_fds(3)), or bound here."""
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        return socket.socket(fileno=GIVEN)
    return address.listener()


def empty(folder: Path) -> None:
    """Remove what a killed emulator left in a folder, which itself is not ours to remove."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for left in folder.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="The embedded AWS emulator.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="on loopback, where everybody is believed")
    where.add_argument("--socket", type=Path, help="for the door alone")
    parser.add_argument("--identity", required=True, help="what the health check answers")
    parser.add_argument("--domain", required=True, help="the domain of environments' pages, which are strangers here")
    options = parser.parse_args()
    address = OwnAddress(port=options.port, socket=options.socket)
    temporary = Path(os.environ["TMPDIR"])
    empty(temporary)  # of copies for queries
    confine_sql(str(temporary))
    confine_process(address)
    memory.limit_process()
    # Only now: MiniStack reads its environment and loads the objects at import.
    from ministack import app  # noqa: PLC0415
    from ministack.core import persistence  # noqa: PLC0415
    from ministack.services import athena as ministack_athena  # noqa: PLC0415
    from ministack.services import s3 as ministack_s3  # noqa: PLC0415

    athena.correct(ministack_athena)
    parts.correct(ministack_s3)
    checksums.correct(ministack_s3)
    full_disk.correct(ministack_s3)

    def save() -> None:
        persistence.save_all(app._build_persistence_save_dict())  # noqa: SLF001 -- the version is pinned

    redshift = Redshift(
        Path(os.environ["REDSHIFT_DIR"]),
        address=address,
        region=os.environ["MINISTACK_REGION"],
    )
    spool = Path(os.environ["SPOOL_DIR"]) if address.port is None else None
    if spool is not None:
        spool.mkdir(mode=0o700, exist_ok=True)
    front = EmulatorFront(app.app, redshift, identity=options.identity, domain=options.domain, spool=spool)
    asyncio.run(run(front, redshift, save, address))


if __name__ == "__main__":
    main()
