"""A small web server in the place of Airflow's, on a unix socket: tells what it was sent, or does as the path says."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from waiting import wait_for


class Airflow:
    """The application, and what it noticed."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.left = threading.Event()
        self.step = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.seen.append(f"{scope['method']} {path}")
        if path == "/stream":
            await self._stream(send)
        elif path == "/endless":
            await self._endless(receive, send)
        elif path == "/silent":
            while (await receive())["type"] != "http.disconnect":
                pass
            self.left.set()
        elif path == "/broken":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        elif path.startswith("/redirect"):
            location = scope["query_string"]
            await send({"type": "http.response.start", "status": 302, "headers": [(b"location", location)]})
            await send({"type": "http.response.body", "body": b""})
        elif path == "/cookies":
            cookies = [
                b"airflow_session=1; HttpOnly; Domain=airflow.localhost",
                b"session=evil; Path=/",
                b"_token=evil",
            ]
            headers = [(b"set-cookie", each) for each in cookies] + [(b"clear-site-data", b'"*"')]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._tell(scope, receive, send)

    async def _tell(self, scope: Any, receive: Any, send: Any) -> None:
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            length += len(message["body"])
            more = message["more_body"]
        document = {
            "method": scope["method"],
            "path": scope["raw_path"].decode(),
            "query": scope["query_string"].decode(),
            "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
            "length": length,
        }
        body = json.dumps(document).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _stream(self, send: Any) -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"line": 1}\n', "more_body": True})
        assert await asyncio.to_thread(self.step.wait, 30)
        await send({"type": "http.response.body", "body": b'{"line": 2}\n', "more_body": False})

    async def _endless(self, receive: Any, send: Any) -> None:
        gone = asyncio.create_task(self._gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0.005)
        self.left.set()

    async def _gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@contextmanager
def running(app: Any, path: Path) -> Iterator[None]:
    """Serve `app` on the unix socket at `path` for the time of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(512)
    config = uvicorn.Config(
        app, http="httptools", log_config=None, lifespan="off", timeout_graceful_shutdown=1, timeout_keep_alive=120
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    wait_for("the server has started", lambda: server.started)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
        path.unlink(missing_ok=True)
        assert not thread.is_alive()
