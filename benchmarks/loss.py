"""Look for lost and doubled tasks while workers come and go and are killed, and the environment changes.

    python -m benchmarks.loss                                    2,000 tasks
    python -m benchmarks.loss --tasks 200 --airflow-version 2.11.2

Tasks come in waves, so that workers are added and removed every few seconds; every twentieth worker process is killed;
MinWorkers goes up and down. A third of the way the environment gets another class, at half a GRACEFUL update with other
options, and at two thirds the control plane is killed. Each task writes a row when it begins and when it is done. The
exit code is 1 if a task was lost, or began twice although nobody had killed its worker, or if one of these things did
not happen while tasks ran.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path

import psutil
from rich.console import Console

from aerodrome.cli import operator_client, starting
from benchmarks import book
from benchmarks.ours import Installation, wait_for

NAME = "loss"
SCALE_IN_AFTER = "2"
"""Seconds; as short, so that workers leave between two waves."""

KILLED = 20
"""One worker process in so many is killed."""

CHANGES = 3
"""Another class, a GRACEFUL update, a killed control plane."""

NO_LOGS = frozenset({"postgres", "versions", "releases", "redis", "emulator", "telemetry"})
"""Folders of an installation that hold other things."""

WAVES = (60, 25, 120, 10, 90)
"""Tasks of one wave after the other."""


class Run:
    """One run: its environment, what has happened to it, and who makes it happen."""

    def __init__(self, ours: Installation, notes: book.Book, tasks: int, console: Console) -> None:
        self.ours, self.book, self.tasks, self.console = ours, notes, tasks, console
        self.wanted: list[tuple[str, int]] = []
        self.runs: list[str] = []
        self.processes: set[int] = set()
        self.kills: dict[int, float] = {}
        self.changes: list[str] = []
        """What was done, and with how many tasks at its beginning and end."""
        self._victims: dict[int, str] = {}
        self._fewest = itertools.cycle((3, 1, 2, 1))
        self._over = threading.Event()
        self._control = threading.Lock()
        """Held by who needs the control plane, and by who kills it."""

    def go(self) -> None:
        """Everything, until the last task is done."""
        threads = [threading.Thread(target=self._repeat, args=(each,)) for each in (self._kill, self._change)]
        for thread in threads:
            thread.start()
        try:
            self._send()
            wait_for(self._is_done, every=1.0)
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _is_done(self) -> bool:
        return self.book.done() >= len(self.wanted) and all(self._state(run) == "success" for run in self.runs)

    def _state(self, run: str) -> str:
        with self._control:
            return str(self.ours.rest(NAME, "GET", f"/dags/loss/dagRuns/{run}")[1].get("state"))

    def noted(self, run: str, number: int) -> list[dict[str, object]]:
        """What Airflow's event log has of a task."""
        query = f"dag_id=loss&task_id=work&run_id={run}&map_index={number}&order_by=event_log_id"
        return list(self.ours.rest(NAME, "GET", f"/eventLogs?{query}")[1].get("event_logs", ()))

    def _send(self) -> None:
        """Wave after wave, until there have been enough tasks and each change; the next when few tasks are left."""
        line2 = self.ours.version.startswith("2.")
        sizes, rests, pauses = (
            itertools.cycle(WAVES),
            itertools.cycle((0, 15, 5)),
            itertools.cycle((3.0, 0.0, 8.0, 1.0)),
        )
        while len(self.wanted) < self.tasks or len(self.changes) < CHANGES:
            count, name = next(sizes), f"wave-{len(self.runs) + 1}"
            body = {"dag_run_id": name, "conf": {"count": count}, **({} if line2 else {"logical_date": None})}
            wait_for(partial(self._is_sent, body), every=1.0)  # an update moves to another web server
            self.runs.append(name)
            self.wanted += [(name, number) for number in range(count)]
            wait_for(partial(self._is_left, next(rests)), every=0.2)
            time.sleep(next(pauses))
            self.console.print(f"  {self.book.done()} of {self.tasks}; {len(self.processes)} worker processes so far")

    def _is_sent(self, body: Mapping[str, object]) -> bool:
        """Try to make a run; it may be there already, and the answer was lost."""
        with self._control:
            try:
                status = self.ours.rest(NAME, "POST", "/dags/loss/dagRuns", body)[0]
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try tells whether it lasts
                self.console.print(f"  [dim]no wave: {str(error)[:200]}[/dim]")
                return False
        return status in {HTTPStatus.OK, HTTPStatus.CONFLICT}

    def _is_left(self, few: int) -> bool:
        return len(self.wanted) - self.book.done() <= few

    def _repeat(self, what: Callable[[], None]) -> None:
        while not self._over.wait(0.3):
            try:
                what()
            except Exception as error:  # noqa: BLE001 - the control plane is away while it is killed
                self.console.print(f"  [dim]{what.__name__.strip('_')}: {str(error)[:200]}[/dim]")
                self._over.wait(1.0)

    def _kill(self) -> None:
        """Kill every twentieth worker process that appears, as soon as it has tasks."""
        with self._control:
            found = self.ours.status(NAME)
        cells = [
            (found["serving"], found["units"]),
            *((each["revision"], each["units"]) for each in found["other_cells"]),
        ]
        for revision, units in cells:
            for unit in units:
                if not unit["name"].startswith("worker-") or unit["pid"] in {None, *self.processes}:
                    continue
                self.processes.add(unit["pid"])
                if len(self.processes) % KILLED == KILLED // 4:
                    self._victims[unit["pid"]] = f"{unit['name']}.{revision}"
        for pid, host in list(self._victims.items()):
            if not psutil.pid_exists(pid):
                del self._victims[pid]
            elif self.book.under_way(host):
                del self._victims[pid]
                at = time.time()
                os.kill(pid, signal.SIGKILL)
                self.kills[pid] = at
                self.console.print(f"  killed {host}")

    def _change(self) -> None:
        """The next change that is due; in between MinWorkers goes up and down."""
        share, done = self.book.done() / self.tasks, len(self.changes)
        if done == 0 and share > 0.30:
            self._do("another class", partial(self.ours.update, NAME, EnvironmentClass="mw1.medium"))
        elif done == 1 and share > 0.50:
            update = partial(
                self.ours.update,
                NAME,
                AirflowConfigurationOptions={"core.default_task_retries": "5"},
                WorkerReplacementStrategy="GRACEFUL",
            )
            self._do("a GRACEFUL update", update)
        elif done == 2 and share > 0.70:
            self._do("the control plane was killed", self._kill_control_plane)
        else:
            self.ours.update(NAME, MinWorkers=next(self._fewest))
            self._over.wait(5.0)

    def _kill_control_plane(self) -> None:
        with self._control:
            pid = json.loads((self.ours.settings.paths.run / "control-plane.pid").read_text())["pid"]
            os.kill(pid, signal.SIGKILL)
            time.sleep(3.0)
            starting.up(self.ours.settings)

    def _do(self, what: str, act: Callable[[], object]) -> None:
        self.console.print(f"  {what} …")
        before = self.book.done()
        act()
        self.changes.append(f"{what}: between task {before} and task {self.book.done()}")
        self.console.print(f"  {self.changes[-1]}")


def main() -> int:
    """Run, and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--airflow-version", default="3.3.1")
    parser.add_argument("--most-workers", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="a folder that does not exist: the logs are copied to it at the end")
    parser.add_argument("--versions", type=Path, help="a folder of installed Airflow versions; else one is installed")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    os.environ["AERODROME_SCALE_IN_AFTER"] = SCALE_IN_AFTER
    with tempfile.TemporaryDirectory(prefix="aero-loss-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        with (
            Installation(folder, arguments.airflow_version, console, versions=arguments.versions) as ours,
            book.Book(folder / "rows.jsonl") as notes,
        ):
            ours.create(NAME, MaxWorkers=arguments.most_workers, MinWorkers=1)
            ours.put_dag("loss", notes.dag("loss", 0.2, 2.0))
            wait_for(lambda: ours.rest(NAME, "GET", "/dags/loss")[0] == 200)
            ours.rest(NAME, "PATCH", "/dags/loss", {"is_paused": False})
            run, began = Run(ours, notes, arguments.tasks, console), time.monotonic()
            try:
                run.go()
            finally:
                verdict = book.judged(notes.entries, run.wanted, run.kills)
                events = operator_client.ask(ours.settings, "GET", f"/events?environment={NAME}&limit=1000")
                told(run, verdict, events, time.monotonic() - began)
                if arguments.keep:
                    shutil.copytree(folder, arguments.keep, symlinks=True, ignore=_but_logs)
    was_whole = len(run.changes) == CHANGES and run.kills and verdict.done >= arguments.tasks
    return 0 if was_whole and not verdict.lost and not verdict.doubled else 1


def _but_logs(folder: str, names: list[str]) -> list[str]:
    """What is not copied: files that are no logs, and folders without any."""
    return [
        name
        for name in names
        if name in NO_LOGS or not (Path(folder, name).is_dir() or name.endswith((".log", ".jsonl")))
    ]


def told(run: Run, verdict: book.Verdict, events: list[dict[str, object]], seconds: float) -> None:
    """Print what was found."""
    kinds = Counter(str(each["kind"]) for each in events)
    print(f"{len(run.wanted)} tasks in {seconds:.0f} s on Airflow {run.ours.version}: {verdict.done} done")
    print(f"{len(run.processes)} worker processes, {kinds['SCALING']} scalings, {len(run.kills)} kills")
    print(
        f"{len(verdict.lost)} lost, {len(verdict.doubled)} doubled; {verdict.retried} retried after a kill, "
        f"{verdict.latest:.0f} s after it at the latest"
    )
    for change in run.changes:
        print(f"  {change}")
    print(f"  events: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")
    for what, tasks in (("lost", verdict.lost), ("doubled", verdict.doubled)):
        for task in tasks[:20]:
            print(f"  {what}: {task}")
            for entry in run.book.entries:
                if (entry.run, entry.number) == task:
                    where = f"{entry.host} (process {entry.worker})"
                    print(f"    {entry.what} attempt {entry.attempt} on {where} at {entry.at:.3f}")
            for each in run.noted(*task):
                print(f"    Airflow: {each['when']} {each['event']}: {each.get('extra') or ''}")
    for pid, at in run.kills.items():
        print(f"  killed: process {pid} at {at:.3f}")


if __name__ == "__main__":
    raise SystemExit(main())
