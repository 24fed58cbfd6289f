"""What tasks of a run write down: a row when they begin and one when they are done, by a socket on loopback.

So nothing that happens to an environment can lose a row, and rows say what tasks did, not what Airflow knows of it.
"""

from __future__ import annotations

import itertools
import json
import socketserver
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

DAG = """
from datetime import datetime, timedelta
try:
    from airflow.sdk import DAG, get_current_context, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
    from airflow.operators.python import get_current_context

def note(what, number):
    import json, os, socket, time
    instance = get_current_context()["ti"]
    row = {{
        "what": what, "run": instance.run_id, "number": number, "attempt": instance.try_number,
        "host": socket.gethostname(), "worker": os.getsid(0), "at": time.time(),
    }}
    with socket.create_connection(("127.0.0.1", {port}), 60) as connection:
        connection.sendall(json.dumps(row).encode() + b"\\n")
        assert connection.recv(3) == b"ok\\n"

with DAG(
    "{dag}", start_date=datetime(2024, 1, 1), schedule=None, catchup=False, max_active_tasks=1000, max_active_runs=50,
    default_args={{"retries": 5, "retry_delay": timedelta(seconds=1)}},
):
    @task
    def numbers():
        return list(range(get_current_context()["dag_run"].conf["count"]))

    @task
    def work(number):
        import random, time
        note("begun", number)
        time.sleep(random.uniform({shortest}, {longest}))
        note("done", number)

    work.expand(number=numbers())
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row."""

    what: str
    run: str
    number: int
    attempt: int
    host: str
    worker: int
    """The number of the worker's main process, whose session its tasks are in, also those that outlive it."""

    at: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the rows say."""

    done: int
    lost: tuple[tuple[str, int], ...]
    """Tasks, by run and number, that were never done."""

    doubled: tuple[tuple[str, int], ...]
    """Tasks that began again although nobody had killed the worker where they had begun."""

    retried: int
    """Attempts that a kill explains."""

    latest: float
    """Seconds from a kill to the latest of these."""


class Book:
    """Takes rows in while it is open, and keeps them in a file too."""

    def __init__(self, path: Path) -> None:
        self.entries: list[Entry] = []
        self._path = path
        self._lock = threading.Lock()
        book = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                book.write(json.loads(self.rfile.readline()))
                self.wfile.write(b"ok\n")

        class Server(socketserver.ThreadingTCPServer):
            request_queue_size = 256
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="book", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def dag(self, name: str, shortest: float, longest: float) -> str:
        """The text of a DAG whose run has `conf["count"]` tasks, each of that many seconds."""
        return DAG.format(dag=name, port=self.port, shortest=shortest, longest=longest)

    def write(self, row: Mapping[str, object]) -> None:
        """Take a row in."""
        entry = Entry(**row)  # type: ignore[arg-type]  # our own DAG wrote it
        with self._lock:
            self.entries.append(entry)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def under_way(self, host: str) -> int:
        """How many tasks have begun on a worker and are not done."""
        with self._lock:
            done = {(each.run, each.number) for each in self.entries if each.what == "done"}
            begun = {(each.run, each.number) for each in self.entries if each.what == "begun" and each.host == host}
        return len(begun - done)

    def done(self) -> int:
        """How many tasks are done."""
        with self._lock:
            return len({(each.run, each.number) for each in self.entries if each.what == "done"})


def judged(entries: Sequence[Entry], wanted: Iterable[tuple[str, int]], kills: Mapping[int, float]) -> Verdict:
    """What the rows say of the wanted tasks; `kills` maps the workers that were killed to when that was."""
    begun: dict[tuple[str, int], list[Entry]] = defaultdict(list)
    done = set()
    for entry in sorted(entries, key=lambda each: each.at):
        if entry.what == "begun":
            begun[entry.run, entry.number].append(entry)
        else:
            done.add((entry.run, entry.number))
    doubled, delays = [], []
    for task, attempts in begun.items():
        for first, second in itertools.pairwise(attempts):
            if first.worker in kills:
                delays.append(second.at - kills[first.worker])
            else:
                doubled.append(task)
    lost = tuple(task for task in wanted if task not in done)
    return Verdict(
        done=len(done), lost=lost, doubled=tuple(doubled), retried=len(delays), latest=max(delays, default=0.0)
    )
