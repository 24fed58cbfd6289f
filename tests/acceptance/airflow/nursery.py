"""Forks units from one process that has run the prelude; executed by a version's interpreter.

`nursery.py <plan.json> <report.json>`: runs the plan's prelude, after the script that primes the process if the plan
has one; forks its units, writes {name: [pid, seconds]} when all are ready (seconds: null for one that died), and stops
them when its standard input ends. The plan may name a file that changes between prelude and units.
"""

import json
import os
import runpy
import select
import signal
import sys
import time
from pathlib import Path


def become(environment, argv):
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")


def fork(unit):
    """The new process, and the pipe on which it will say that it is ready."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        os.close(reader)
        os.setsid()
        os.set_inheritable(writer, True)  # noqa: FBT003 - takes no keyword
        log = os.open(unit["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.umask(unit["umask"])
        os.chdir(unit["cwd"])
        become({**unit["env"], "AERODROME_NOTIFY_FD": str(writer)}, unit["argv"])
    finally:
        os._exit(1)


def main():
    plan = json.loads(Path(sys.argv[1]).read_text())
    report = Path(sys.argv[2])
    if plan["prime"]:
        become(plan["prime"]["env"], plan["prime"]["argv"])
    become(plan["prelude"]["env"], plan["prelude"]["argv"])
    if plan["changes"]:
        with Path(plan["changes"]).open("a") as file:
            file.write("# changed\n")
    start = time.monotonic()
    started = {}
    waiting = {}
    for unit in plan["units"]:
        pid, reader = fork(unit)
        started[unit["name"]] = [pid, None]
        waiting[reader] = unit["name"]
    while waiting:
        for reader in select.select(list(waiting), [], [])[0]:
            said = os.read(reader, 100)
            if b"READY=1" in said:
                started[waiting[reader]][1] = time.monotonic() - start
            if not said or b"READY=1" in said:  # else it only says that it lives
                del waiting[reader]
    part = report.with_suffix(".part")
    part.write_text(json.dumps(started))
    part.rename(report)
    sys.stdin.read()
    for pid, _ in started.values():
        os.kill(pid, signal.SIGTERM)
    for pid, _ in started.values():
        os.waitpid(pid, 0)


main()
