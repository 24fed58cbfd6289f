"""Airflow 3's API server, one half of it: `core` (UI and REST, unix socket) or `execution` (running tasks, loopback).

One uvicorn process in this process, without the command's monitor. Ready means that it accepts requests.
"""

# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
from argparse import Namespace
from typing import Any

import uvicorn

from . import execution_api, peers, prelude, sockets
from .notify import BEAT, Notifier

EXECUTION = "execution"

GRACEFUL_SHUTDOWN = 10
"""Seconds that open requests (log streams never end by themselves) may hold up a stop."""

WARM_UP_DELAY = 3
"""Seconds; by then the other units of the environment have started."""

KEEP_ALIVE = 120
"""Seconds; the gateway's connections should last longer than the pauses of its users."""


TICK = 1.0
"""Seconds between two looks of the server at the clock, for the header Date."""


def run(arguments: Namespace, notifier: Notifier) -> None:
    """Serve the half of the API that `arguments.apps` names."""
    os.environ["AIRFLOW_API_APPS"] = arguments.apps
    if prelude.primed.configuration is not None:
        _use_primed(prelude.primed)
    if arguments.apps == EXECUTION:
        execution_api.speak_newest_only()
    from airflow.api_fastapi.main import app

    config = uvicorn.Config(
        app,
        # The folder of a unix socket lets nobody else in; to loopback comes whoever is on this machine.
        http=peers.only_from({0, os.getuid(), *arguments.peer}) if arguments.peer else "auto",
        log_config=None,
        access_log=False,
        # Only the gateway reaches the unix socket. The loopback port serves tasks, whose addresses mean nothing.
        proxy_headers=arguments.socket is not None,
        forwarded_allow_ips="*",
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN,
        timeout_keep_alive=KEEP_ALIVE,
    )
    listener = sockets.unix(arguments.socket) if arguments.socket else sockets.loopback(arguments.port)
    _server(config, notifier, arguments).run(sockets=[listener])


def _use_primed(primed: prelude.Primed) -> None:
    """Have Airflow's application made of what the primed process has made."""
    application: Any = importlib.import_module("airflow.api_fastapi.app")
    application.create_task_execution_api_app = lambda: primed.execution_app
    fastapi: Any = importlib.import_module("fastapi")
    include = fastapi.FastAPI.include_router

    def include_made(self: Any, router: Any, **options: Any) -> None:
        made = None if options else primed.included.get(id(router))
        if made is None:
            include(self, router, **options)
            return
        made.dependency_overrides = self.dependency_overrides
        self.router.routes.extend(made.router.routes)

    fastapi.FastAPI.include_router = include_made


def _server(config: Any, notifier: Notifier, arguments: Namespace) -> Any:
    class AnnouncingServer(uvicorn.Server):
        async def startup(self, *args: Any, **kwargs: Any) -> None:
            await super().startup(*args, **kwargs)
            if not self.started:
                return
            if arguments.warm:
                await _warm_up(config.loaded_app)
            notifier.ready()
            self._pulse = asyncio.ensure_future(_show_life(notifier))
            if arguments.apps == EXECUTION and not arguments.warm:
                self._first = asyncio.ensure_future(_warm_up(config.loaded_app, delay=WARM_UP_DELAY))

        async def main_loop(self) -> None:
            """As uvicorn's, but it wakes once a second, and at a signal; uvicorn wakes ten times to look for one."""
            self._loop, self._signalled = asyncio.get_running_loop(), asyncio.Event()
            while not await self.on_tick(0):
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._signalled.wait(), TICK)

        def handle_exit(self, *signalled: Any) -> None:
            super().handle_exit(*signalled)
            if hasattr(self, "_signalled"):
                self._loop.call_soon_threadsafe(self._signalled.set)

    return AnnouncingServer(config)


async def _show_life(notifier: Notifier) -> None:
    while True:
        notifier.moves()
        await asyncio.sleep(BEAT)


async def _warm_up(app: Any, delay: float = 0) -> None:
    """Have the execution API build its routes now: by itself it does so on its first request.

    Building them takes a second of processor time, for which the first task or other units' starts would wait.
    """
    await asyncio.sleep(delay)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/execution/health",
        "raw_path": b"/execution/health",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        del message

    gc.disable()  # a third of the time would go to looking through models that stay
    try:
        await app(scope, receive, send)
    finally:
        gc.enable()
