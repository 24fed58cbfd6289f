"""The program of the log store: CloudWatch's APIs of logs and metrics on a unix socket that the AWS door alone opens.

Started detached with the argv and environment that `launch.describe` gives; nothing imports it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # structlog loads rich for pretty terminals where it is installed; nobody colours these lines.
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]

import structlog

from aerodrome import clock, log, service_models
from aerodrome.errors import AerodromeError
from aerodrome.listening.crowd import ConnectionLimits
from aerodrome.listening.server import HttpServer
from aerodrome.telemetry import event_streams, keeping, launch, wire
from aerodrome.telemetry.logs_api import LogsApi, is_search
from aerodrome.telemetry.metrics import protocols
from aerodrome.telemetry.metrics.api import MetricsApi
from aerodrome.telemetry.metrics.evaluation import Evaluation, publisher
from aerodrome.telemetry.metrics.store import MetricStore
from aerodrome.telemetry.refusals import UNAVAILABLE, TelemetryRefusedError
from aerodrome.telemetry.store import Store

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LIMITS = ConnectionLimits(total=512, each_peer=512, bodies_each_peer=384)
"""Of the listener; the door is its one peer."""

BODY_LIMIT = 16 * 2**20
"""Bytes of a request: 1 MiB of events, each character of which JSON may write as six, and their frames."""

STANDSTILL = 30.0
"""Seconds without a byte of a body that is not over."""

KEEP_ALIVE = 75
GRACEFUL = 3
"""Seconds that an idle connection stays open, and that open requests get at a stop."""

LIVE_TAIL = "Logs_20140328.StartLiveTail"

logger = structlog.get_logger("telemetry")


class TelemetryApp:
    """The ASGI application."""

    def __init__(self, api: LogsApi, metrics: MetricsApi, *, identity: str) -> None:
        self._api = api
        self._metrics = metrics
        self._identity = identity

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == launch.HEALTH:
            await _respond(send, 200, wire.success({"log_store": self._identity}))
            return
        if scope["path"] == launch.TOTALS and not _signed_for(scope):
            await _respond(send, 200, json.dumps(self._metrics.totals.document()).encode())
            return
        if _signed_for(scope) == protocols.SIGNED_FOR:
            await self._serve_metrics(scope, receive, send)
            return
        targets = [value for name, value in scope["headers"] if name == b"x-amz-target"]
        try:
            body = await _body(receive)
            target = targets[0].decode("latin-1") if len(targets) == 1 else ""
            if target == LIVE_TAIL:
                await self._serve_live_tail(body, _caller(scope), receive, send)
                return
            status, answer = await self._answer(target, body, _caller(scope), receive)
        except TimeoutError:
            return
        except Exception:
            logger.exception("a request failed")
            status, answer = (
                500,
                wire.failure(TelemetryRefusedError(UNAVAILABLE, "The log store failed; its log says why.")),
            )
        await _respond(send, status, answer)

    async def _serve_metrics(self, scope: Message, receive: Receive, send: Send) -> None:
        targets = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-amz-target"]
        request_id = str(uuid.uuid4())
        try:
            body = await _body(receive)
        except TimeoutError:
            return
        status, headers, answer = await self._metrics.answer(
            path=scope["path"],
            target=targets[0] if targets else "",
            query=scope["query_string"].decode("latin-1"),
            body=body,
            caller=_caller(scope),
            request_id=request_id,
        )
        headers += [(b"content-length", b"%d" % len(answer)), (b"x-amzn-requestid", request_id.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _serve_live_tail(self, body: bytes, caller: str, receive: Receive, send: Send) -> None:
        """Answer with a stream of events until the caller is gone."""
        request_id, tails = str(uuid.uuid4()), self._api.live_tails
        try:
            session = await tails.open(wire.read(wire.operation(LIVE_TAIL), body), caller)
        except TelemetryRefusedError as error:
            await _respond(send, wire.status(error), wire.failure(error))
            return
        headers = [(b"content-type", event_streams.CONTENT_TYPE), (b"x-amzn-requestid", request_id.encode())]
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async for message in tails.messages(session, request_id):
                if gone.done():
                    return
                await send({"type": "http.response.body", "body": message, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            tails.close(session)

    async def _answer(self, target: str, body: bytes, caller: str, receive: Receive) -> tuple[int, bytes]:
        """The API's answer; a search ends when its caller is gone, what changes something does not.

        Raises:
            TimeoutError: the caller is gone.
        """
        if not is_search(target):
            return await self._api.answer(target, body, caller=caller)
        answer = asyncio.ensure_future(self._api.answer(target, body, caller=caller))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise TimeoutError
            return answer.result()
        finally:
            answer.cancel()
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _caller(scope: Message) -> str:
    """Who asks, by the key id that the door puts in place of every one of a principal's."""
    return _credential(scope)[0]


def _signed_for(scope: Message) -> str:
    """The service that a request was signed for."""
    return (*_credential(scope), "", "", "")[3]


def _credential(scope: Message) -> list[str]:
    """Key id, date, region, service and what ends them, as the door writes them."""
    found = [value for name, value in scope["headers"] if name == b"authorization"]
    return (found[0].decode("latin-1").partition("Credential=")[2] if found else "").split("/")


async def _body(receive: Receive) -> bytes:
    found = bytearray()
    while True:
        message = await asyncio.wait_for(receive(), STANDSTILL)
        found += message.get("body", b"")
        if message["type"] == "http.disconnect" or len(found) > BODY_LIMIT:
            raise TimeoutError
        if not message.get("more_body"):
            return bytes(found)


async def _respond(send: Send, status: int, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", b"%d" % len(body)),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _run(options: argparse.Namespace, listener: socket.socket) -> None:
    limits = keeping.StoreLimits(total_bytes=options.most_bytes, longest_days=options.longest_days)
    store = await Store(options.folder, limits=limits, clock=clock.now).open()
    metric_store = await MetricStore(options.folder, most_bytes=options.most_metrics_bytes, clock=clock.now).open()
    names = {"region": options.region, "account": options.account}
    api, metrics = LogsApi(store, **names), MetricsApi(metric_store, **names)
    evaluation = Evaluation(metric_store, publisher(options.sns), **names)
    server = HttpServer(
        TelemetryApp(api, metrics, identity=options.identity),
        LIMITS,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACEFUL,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.leave)
    upkeep = [asyncio.create_task(each) for each in (store.keep(), metric_store.keep(), evaluation.run())]
    for service in (wire.SERVICE, protocols.SERVICE):
        service_models.of(service)  # read before somebody waits for it
    await server.serve(sockets=[listener])
    for each in upkeep:
        each.cancel()
    await store.close()
    await metric_store.close()


def _listener(path: Path) -> socket.socket:
    """A socket of our own alone, in the place of an older one."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        made.bind(str(path))
    finally:
        os.umask(before)
    made.listen(128)
    return made


def main() -> int:
    """Read the command line and serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="The store of logs and metrics.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True, help="for the door alone")
    parser.add_argument("--identity", required=True, help="what the health check answers")
    parser.add_argument("--region", required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--most-bytes", type=int, required=True, help="of all files; the oldest events go first")
    parser.add_argument("--most-metrics-bytes", type=int, required=True, help="of all metrics; the finest go first")
    parser.add_argument("--sns", type=Path, required=True, help="the socket behind which alarms' topics are told")
    parser.add_argument("--longest-days", type=int, required=True, help="that any event is kept")
    options = parser.parse_args()
    log.configure()
    os.umask(0o077)
    try:
        with _listener(options.socket) as listener:
            asyncio.run(_run(options, listener))
    except (AerodromeError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
