"""Forks units from one process that has run the prelude; executed by a version's interpreter.

`nursery.py <plan.json> <report.json> <codes.json>`: runs the plan's prelude, after the script that primes the process
if the plan has one; forks its units, each with the descriptor on which it says that it is ready; writes {name: pid};
and stops what is left of them when its standard input ends. Their exit codes come last: {name: code}. The plan may
name a file that changes between prelude and units.
"""

import json
import os
import runpy
import select
import signal
import sys
from pathlib import Path

LOOK_EVERY = 0.2
"""Seconds between two looks for units that have ended."""


def become(environment, argv):
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")


def fork(unit, descriptors):
    """The new process, which keeps none of the descriptors but its own."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for descriptor in descriptors:
            if descriptor != unit["notify"]:
                os.close(descriptor)
        os.setsid()
        log = os.open(unit["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.umask(unit["umask"])
        os.chdir(unit["cwd"])
        become({**unit["env"], "AERODROME_NOTIFY_FD": str(unit["notify"])}, unit["argv"])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        os._exit(code)


def write(path, document):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(document))
    part.rename(path)


def main():
    plan, report, codes = map(Path, sys.argv[1:])
    plan = json.loads(plan.read_text())
    if plan["prime"]:
        become(plan["prime"]["env"], plan["prime"]["argv"])
    become(plan["prelude"]["env"], plan["prelude"]["argv"])
    if plan["changes"]:
        with Path(plan["changes"]).open("a") as file:
            file.write("# changed\n")
    descriptors = [unit["notify"] for unit in plan["units"]]
    started = {unit["name"]: fork(unit, descriptors) for unit in plan["units"]}
    for descriptor in descriptors:
        os.close(descriptor)
    write(report, started)
    living, ended = dict(started), {}
    is_told = False
    while living:
        if not is_told and select.select([sys.stdin], [], [], LOOK_EVERY)[0]:
            is_told = True
            for pid in living.values():
                os.kill(pid, signal.SIGTERM)
        for name, pid in list(living.items()):
            found, status = os.waitpid(pid, 0 if is_told else os.WNOHANG)
            if found:
                del living[name]
                ended[name] = os.waitstatus_to_exitcode(status)
    write(codes, ended)


main()
