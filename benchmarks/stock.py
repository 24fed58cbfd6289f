"""The other side: the same Airflow from the same installation, as its own documentation starts it.

`standalone` is `airflow standalone` in an empty home. `Separate` is each role as a process of its own on PostgreSQL and
Redis with Celery, every setting but the connections stock.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
from cryptography.fernet import Fernet

from aerodrome.services import clusters, databases, postgres, redis
from benchmarks.consumption import families, spent
from benchmarks.ours import Installation, wait_for

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def healthy(port: int) -> bool:
    """Whether every component of an Airflow 3 says that it is well."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=2) as answer:
            document = json.load(answer)
    except (OSError, ValueError):
        return False
    return all(document[component]["status"] == "healthy" for component in COMPONENTS)


def standalone(ours: Installation) -> tuple[float, float]:
    """Seconds from `airflow standalone` in an empty home until every component is healthy, and those of processors."""
    home = ours.folder / f"standalone-{secrets.token_hex(4)}"
    port = free_port()
    environment = {**variables(ours, home), "AIRFLOW__API__PORT": str(port)}
    started = time.monotonic()
    with _running(home, environment, "standalone", str(ours.python.parent / "airflow"), "standalone") as process:
        wait_for(lambda: healthy(port))
        return time.monotonic() - started, sum(map(spent, families([process])))


class Separate:
    """All roles started separately, with workers that run so many tasks, on services of the same kind as ours."""

    def __init__(
        self, ours: Installation, dags: Mapping[str, str], *, workers: Sequence[int] = (5,), name: str = "separate"
    ) -> None:
        self._ours = ours
        self._dags = dags
        self._slots = workers
        self._workers: list[psutil.Process] = []
        self.home = ours.folder / name
        self.port = free_port()
        self._stack = contextlib.ExitStack()
        self._processes: list[psutil.Process] = []

    def __enter__(self) -> Self:
        self.home.mkdir()
        cluster = postgres.up(self._ours.settings.paths)
        databases.ensure_role(cluster, "stock", "stock")
        databases.ensure_database(cluster, self.home.name, "stock")
        environment = self._configured(cluster)
        airflow = str(self._ours.python.parent / "airflow")
        subprocess.run([airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
        self._redis()
        commands = (
            ["api-server", "--port", str(self.port), "--host", "127.0.0.1"],
            ["scheduler"],
            ["dag-processor"],
            ["triggerer"],
        )
        for command in commands:
            running = _running(self.home, environment, command[0], airflow, *command)
            self._processes.append(self._stack.enter_context(running))
        for number, slots in enumerate(self._slots, start=1):
            command = ["celery", "worker", "--concurrency", str(slots), "--skip-serve-logs"]
            command += ["--celery-hostname", f"worker-{number}@%h"] if len(self._slots) > 1 else []
            self._workers.append(
                self._stack.enter_context(_running(self.home, environment, f"worker-{number}", airflow, *command))
            )
        self._processes += self._workers
        wait_for(lambda: healthy(self.port))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def processes(self) -> list[psutil.Process]:
        """Every process of every role, and Redis."""
        return families(self._processes)

    def workers(self, first: int = 1) -> list[psutil.Process]:
        """Every process of the workers from that number on."""
        return families(self._workers[first - 1 :])

    def rest(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """A call to the REST API, status 0 without an answer in time; SimpleAuthManager lets everyone in."""
        data = None if body is None else json.dumps(body).encode()
        token = self._token
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{self.port}/api/v2{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, None
        except TimeoutError:  # as busy as it is, it is asked again
            return 0, None

    @functools.cached_property
    def _token(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/auth/token", timeout=30) as answer:
            return str(json.load(answer)["access_token"])

    def _configured(self, cluster: clusters.Cluster) -> dict[str, str]:
        (self.home / "dags").mkdir()
        for name, text in self._dags.items():
            (self.home / "dags" / f"{name}.py").write_text(text)
        return {
            **variables(self._ours, self.home),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(max(32, 2 * sum(self._slots))),
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": cluster.dsn(
                self.home.name, "stock", "stock", scheme="postgresql+psycopg2"
            ),
            "AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{self.home}/redis.sock?virtual_host=0",
            "AIRFLOW__CELERY__RESULT_BACKEND": "db+" + cluster.dsn(self.home.name, "stock", "stock"),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(72),
            "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(32),
        }

    def _redis(self) -> None:
        configuration = self.home / "redis.conf"
        configuration.write_text(redis.configuration(socket=self.home / "redis.sock", folder=self.home))
        command = (str(redis.find_program()), str(configuration))
        self._processes.append(self._stack.enter_context(_running(self.home, dict(os.environ), "redis", *command)))
        wait_for((self.home / "redis.sock").exists)


def variables(ours: Installation, home: Path) -> dict[str, str]:
    return {
        "PATH": f"{ours.python.parent}:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "C_FORCE_ROOT": "1",
    }


@contextlib.contextmanager
def _running(home: Path, environment: dict[str, str], name: str, *command: str) -> Iterator[psutil.Process]:
    """A process in a session of its own, its log beside it; ended with everything below it."""
    home.mkdir(exist_ok=True)
    with (home / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            command, env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    process = psutil.Process(child.pid)
    try:
        yield process
    finally:
        family = families([process])
        child.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=15)
        for each in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        child.wait()
