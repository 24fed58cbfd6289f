"""The gateway against a direct request to Airflow's web server, and its CLI endpoint against a cold command.

Both sides ask the same running web server, in turns, from one client process; what differs is the way there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from rich.console import Console

from aerodrome import clock
from aerodrome.backends.local import environment_folders
from aerodrome.backends.local import paths as local_paths
from aerodrome.gateway import certificates
from aerodrome.gateway.airflow_tokens import Tokens
from aerodrome.identity import key_files
from aerodrome.identity.tokens import Minter
from benchmarks import stock
from benchmarks.ours import Installation
from benchmarks.table import Row

NAME = "gateway"

PATH = "/api/v2/dags?limit=10"
"""A request as the UI makes them by the dozen; it reads the database."""

CONNECTIONS = 32
REQUESTS = 1600
"""A round of the throughput measure."""

ONE_BY_ONE = 400
"""Requests of a latency round."""

ROUNDS = 3
COMMANDS = 5

Get = Callable[[], Awaitable[None]]


def gateway(ours: Installation, console: Console) -> list[Row]:
    """Added latency, throughput at 32 connections, and `version` by the CLI endpoint."""
    ours.create(NAME)
    try:
        latency, throughput = asyncio.run(_proxied(ours, console))
        command = statistics.median(asyncio.run(_commands(ours)))
    finally:
        ours.delete(NAME)
    cold = statistics.median(_cold(ours) for _ in range(COMMANDS))
    return [
        Row(what="gateway: added latency, p50", ours=latency[0], stock=None, unit="ms", bar=2),
        Row(what="gateway: added latency, p99", ours=latency[1], stock=None, unit="ms", bar=10),
        Row(
            what=f"gateway: time a request at {CONNECTIONS} connections / direct",
            ours=throughput[0],
            stock=throughput[1],
            unit="ms",
            bar=1 / 0.9,
        ),
        Row(what="/aws_mwaa/cli version / cold `airflow version`", ours=command, stock=cold, unit="s", bar=0.25),
    ]


@dataclass(frozen=True)
class _Ways:
    """The two ways to one web server."""

    direct: Get
    through: Get


async def _proxied(ours: Installation, console: Console) -> tuple[tuple[float, float], tuple[float, float]]:
    """((p50, p99) added), (through, direct) per request, all in milliseconds; medians of the rounds."""
    p50, p99, through, direct = [], [], [], []
    async with _ways(ours) as ways:
        for way in (ways.direct, ways.through):
            await _loaded(way, CONNECTIONS * 4)
        for _ in range(ROUNDS):
            pair = [await _latencies(way) for way in (ways.direct, ways.through)]
            p50.append(pair[1][0] - pair[0][0])
            p99.append(pair[1][1] - pair[0][1])
            direct.append(await _loaded(ways.direct, REQUESTS))
            through.append(await _loaded(ways.through, REQUESTS))
            console.print(f"  added {p50[-1]:.2f}/{p99[-1]:.2f} ms; {through[-1]:.2f} against {direct[-1]:.2f} ms")
    return (
        (statistics.median(p50), statistics.median(p99)),
        (statistics.median(through), statistics.median(direct)),
    )


async def _latencies(get: Get) -> tuple[float, float]:
    """p50 and p99 of requests one after the other, in milliseconds."""
    found = []
    for _ in range(ONE_BY_ONE):
        started = time.perf_counter()
        await get()
        found.append(1000 * (time.perf_counter() - started))
    cuts = statistics.quantiles(found, n=100)
    return cuts[49], cuts[98]


async def _loaded(get: Get, requests: int) -> float:
    """Milliseconds a request with all connections busy."""

    async def many() -> None:
        for _ in range(requests // CONNECTIONS):
            await get()

    started = time.perf_counter()
    await asyncio.gather(*(many() for _ in range(CONNECTIONS)))
    return 1000 * (time.perf_counter() - started) / requests


@contextlib.asynccontextmanager
async def _ways(ours: Installation) -> AsyncIterator[_Ways]:
    socket, identifier = _socket(ours)
    tokens = Tokens(Minter(key_files.signing_key(ours.settings.paths.keys)))
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket), limit=0)) as direct,
        signed_in(ours, NAME) as get_through,
    ):

        async def get_direct() -> None:
            now = clock.now()
            token = tokens.get(environment=NAME, subject="user/benchmark", role="Admin", now=now)
            await _got(direct, f"http://{identifier}{PATH}", {"Authorization": f"Bearer {token}"})

        yield _Ways(get_direct, get_through)


@contextlib.asynccontextmanager
async def signed_in(ours: Installation, name: str) -> AsyncIterator[Get]:
    """A browser's request for `PATH` through the gateway, in a session by a web login token."""
    given = ours.mwaa.create_web_login_token(Name=name)
    host, login = given["WebServerHostname"], {"token": given["WebToken"]}
    url = f"https://127.0.0.1:{host.rpartition(':')[2]}"
    async with _client(ours) as session:
        async with session.post(f"{url}/pluginsv2/aws_mwaa/login", data=login, headers={"Host": host}) as answer:
            assert answer.status == 200, await answer.text()
            headers = {"Host": host, "Authorization": f"Bearer {answer.cookies['_token'].value}"}

        async def get() -> None:
            await _got(session, url + PATH, headers)

        yield get


async def _got(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
    async with session.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def _commands(ours: Installation) -> list[float]:
    """Seconds of `version` by the CLI endpoint, the token's making included."""
    found = []
    async with _client(ours) as session:
        for _ in range(COMMANDS):
            started = time.perf_counter()
            token = ours.mwaa.create_cli_token(Name=NAME)
            host = token["WebServerHostname"]
            url = f"https://127.0.0.1:{host.rpartition(':')[2]}/aws_mwaa/cli"
            headers = {"Host": host, "Authorization": f"Bearer {token['CliToken']}", "Content-Type": "text/plain"}
            async with session.post(url, data=b"version", headers=headers) as answer:
                assert answer.status == 200, await answer.text()
            found.append(time.perf_counter() - started)
    return found


def _cold(ours: Installation) -> float:
    home = ours.folder / "cold"
    home.mkdir(exist_ok=True)
    started = time.perf_counter()
    command = [str(ours.python.parent / "airflow"), "version"]
    subprocess.run(command, env=stock.variables(ours, home), cwd=home, check=True, capture_output=True)
    return time.perf_counter() - started


def _client(ours: Installation) -> aiohttp.ClientSession:
    trusted = ssl.create_default_context(cafile=certificates.files(ours.settings.paths).authority)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=trusted), cookie_jar=aiohttp.DummyCookieJar()
    )


def _socket(ours: Installation) -> tuple[Path, str]:
    identifier = str(ours.status(NAME)["identifier"])
    return environment_folders.web_socket(local_paths.of(ours.settings.paths, NAME, identifier), 1), identifier
