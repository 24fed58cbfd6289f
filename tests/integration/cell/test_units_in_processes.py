"""What a unit finds when it runs: its environment, identity, descriptors, signals and end."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from integration.cell import harness

NOBODY = 65534
namespace_attacks = Path(__file__).with_name("namespace_attacks.py")

REPORT = """
import json, os, signal, sys, time, types
def handler(number):
    found = signal.getsignal(number)
    return getattr(found, "name", getattr(found, "__name__", str(found)))
facts = {
    "argv": sys.argv,
    "name": __name__,
    "file": __file__,
    "env": dict(os.environ),
    "cwd": os.getcwd(),
    "umask": os.umask(0o22),
    "path": sys.path,
    "ours": [name for name in sys.modules if "aerodrome" in name],
    "our_paths": [entry for entry in sys.path if "cell" in os.path.basename(entry)],
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)),
    "leads_session": os.getsid(0) == os.getpid() == os.getpgrp(),
    "parent": os.getppid(),
    "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
    "handlers": {name: handler(getattr(signal, name)) for name in
                 ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGPIPE", "SIGUSR1")},
    "mask": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "hours": time.localtime(0).tm_hour,
    "status": open("/proc/self/status").read(),
    "comm": open("/proc/self/comm").read().strip(),
    "version": list(sys.version_info[:2]),
    "warm": "logging.handlers" in sys.modules,
}
print(json.dumps(facts), flush=True)
import time
while True:
    time.sleep(0.05)
"""


def facts_of(cell: harness.Cell, **fields) -> dict:
    cell.start(cell.unit("reporter", REPORT, **fields))
    return json.loads(harness.until(lambda: cell.text("reporter").partition("\n")[0], "the report"))


def test_a_forked_unit_finds_just_what_its_specification_says(cell) -> None:
    env = {"PATH": "/usr/bin", "ONLY": "this", "TZ": "UTC-5", "EMPTY": ""}
    facts = facts_of(cell, env=env, umask=0o027)
    script = str(cell.folder / "reporter.py")

    assert facts["argv"] == [script]
    assert (facts["name"], facts["file"]) == ("__main__", script)
    assert facts["env"] == env
    assert facts["cwd"] == str(cell.folder)
    assert facts["umask"] == 0o027
    assert facts["hours"] == 5
    assert facts["comm"] == "reporter"


def test_a_forked_unit_carries_nothing_of_the_cell(cell) -> None:
    facts = facts_of(cell)

    assert facts["ours"] == facts["our_paths"] == []
    assert str(cell.folder) not in facts["path"]
    assert facts["fds"] == [0, 1, 2]
    assert facts["leads_session"]
    assert facts["parent"] == cell.ask("status")["pid"]
    assert facts["warm"]
    assert facts["mask"] == 0
    assert facts["handlers"] == {
        "SIGTERM": "SIG_DFL",
        "SIGINT": "default_int_handler",
        "SIGHUP": "SIG_DFL",
        "SIGCHLD": "SIG_DFL",
        "SIGPIPE": "SIG_IGN",
        "SIGUSR1": "SIG_DFL",
    }


def test_an_executed_unit_finds_the_same_and_can_notify(cell) -> None:
    shell = (
        "echo READY=1 >&3; env; umask; ls -l /proc/self/fd | wc -l; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    )
    env = {"PATH": os.environ["PATH"], "ONLY": "this"}
    cell.start(cell.unit("shell", how="exec", argv=["sh", "-c", shell], env=env, ready="notify", umask=0o027))

    cell.ready("shell")
    harness.until(lambda: "0027" in cell.text("shell"), "the shell's report")
    assert "ONLY=this" in cell.text("shell")
    assert "AERODROME_NOTIFY_FD=3" in cell.text("shell")
    assert "HOME=" not in cell.text("shell")


EXITS = [
    ("import sys; sys.exit(7)", 7),
    ("import sys; sys.exit('cannot go on')", 1),
    ("raise ValueError('wrong fuel')", 1),
    ("pass", 0),
    ("import os; os._exit(9)", 9),
    ("import threading, time; threading.Thread(target=lambda: (time.sleep(0.1), print('joined'))).start()", 0),
    ("import atexit; atexit.register(print, 'last words')", 0),
    ("import no_module_of_this_name", 1),
    ("this is no python", 1),
]
SAYS = {
    1: "cannot go on",
    2: "ValueError: wrong fuel",
    5: "joined",
    6: "last words",
    7: "ModuleNotFoundError",
    8: "SyntaxError",
}


def test_a_unit_ends_as_a_script_of_its_own_would(cell) -> None:
    cell.start(*[cell.unit(f"unit{number}", script) for number, (script, _) in enumerate(EXITS)])

    for number, (_, code) in enumerate(EXITS):
        name = f"unit{number}"
        last = harness.until(lambda name=name: cell.units()[name]["last_exit"], f"the exit of {name}")
        assert (last["code"], last["signal"]) == (code, None), cell.text(name)
        assert SAYS.get(number, "") in cell.text(name)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"how": "exec", "argv": ["/no/such/command"]}, "cannot execute /no/such/command"),
        ({"argv": ["/no/such/script.py"]}, "FileNotFoundError"),
        ({"cwd": "/no/such/folder"}, "/no/such/folder"),
    ],
)
def test_a_unit_that_cannot_begin_says_why_in_its_log(one_cell, fields, sentence) -> None:
    one_cell.start(one_cell.unit("broken", **fields))

    harness.until(lambda: one_cell.units()["broken"]["last_exit"], "the exit")
    assert sentence in one_cell.text("broken")
    assert sentence in "\n".join(one_cell.ask("tail", unit="broken")["lines"])


def test_a_log_that_cannot_be_opened_is_told_by_status_and_its_cure_is_noticed(one_cell) -> None:
    log = one_cell.folder / "absent" / "unit.log"
    one_cell.start(one_cell.unit("unit", log=str(log)))

    harness.until(lambda: "cannot open the log" in one_cell.units()["unit"]["status_text"], "the trouble")
    log.parent.mkdir()
    one_cell.ready("unit")
    assert one_cell.units()["unit"]["status_text"] == ""


ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a unit another identity")


@ROOT_ONLY
def test_a_forked_unit_of_another_user_has_no_way_back(cell) -> None:
    facts = facts_of(cell, uid=NOBODY, gid=NOBODY)

    assert facts["ids"] == [[NOBODY] * 3, [NOBODY] * 3, []]
    assert "NoNewPrivs:\t1" in facts["status"]
    log = (cell.folder / "reporter.log").stat()
    assert (log.st_uid, stat.S_IMODE(log.st_mode)) == (0, 0o640)


@ROOT_ONLY
def test_an_executed_unit_of_another_user_has_no_way_back(one_cell) -> None:
    shell = "id -u; id -G; grep NoNewPrivs /proc/self/status; echo end; sleep 60"
    one_cell.start(one_cell.unit("shell", how="exec", argv=["sh", "-c", shell], uid=NOBODY, gid=NOBODY))

    harness.until(lambda: "end" in one_cell.text("shell"), "the shell's report")
    assert one_cell.text("shell").split() == [str(NOBODY), str(NOBODY), "NoNewPrivs:", "1", "end"]


@ROOT_ONLY
@pytest.mark.parametrize("how", ["fork", "exec"])
def test_a_unit_of_another_user_makes_no_user_namespace(cell, how) -> None:
    script = namespace_attacks.read_text()
    argv = {} if how == "fork" else {"argv": [cell.warm.command[0], "-I", "-c", script]}
    cell.start(cell.unit("attacker", script, how=how, uid=NOBODY, gid=NOBODY, **argv))

    harness.until(lambda: "end\n" in cell.text("attacker"), "the end of the attacks")
    *attacks, usual, _ = cell.text("attacker").splitlines()
    assert len(attacks) >= 5
    assert [line for line in attacks if not line.endswith(": refused")] == []
    assert usual == "threads, children: 1 0"


@ROOT_ONLY
def test_the_sockets_are_closed_to_other_users(one_cell) -> None:
    one_cell.start()
    one_cell.socket.chmod(0o666)
    drop = f"import os, socket; os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); s = socket.socket(socket.AF_UNIX); "
    try_it = f"s.connect({str(one_cell.socket)!r}); print(s.recv(9))"

    done = subprocess.run([sys.executable, "-Ic", drop + try_it], capture_output=True, text=True, check=False)

    assert done.stdout == "b''\n", done.stderr
    harness.until(lambda: "another user" in one_cell.log.read_text(), "the refusal in the log")


COUNT = """
import os, sys, time
backwards = os.environ["ELDEEN"]
def places(text):
    needle = text[::-1].encode()
    del text
    found = []
    with open("/proc/self/maps") as maps:
        lines = maps.readlines()
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    for line in lines:
        where, rights = line.split()[:2]
        if rights[0] != "r" or "[v" in line:
            continue
        start, end = (int(part, 16) for part in where.split("-"))
        while start < end:
            try:
                chunk = os.pread(memory, min(1 << 20, end - start), start)
            except OSError:
                break
            # The needle itself, and the copies of it that were read, lie in this very memory: a prefix is what counts.
            at = chunk.find(needle)
            while at >= 0:
                if chunk[at - 7:at] == b"PREFIX-":
                    found.append(start + at)
                at = chunk.find(needle, at + 1)
            start += len(chunk) or 1 << 20
    return found
print("found" if places(backwards) else "clean", flush=True)
while True:
    time.sleep(0.05)
"""


def test_a_unit_holds_no_secret_of_its_neighbour_in_memory(cell) -> None:
    secret = "cf5d12b09a7e"
    neighbour = cell.unit("neighbour", env={"PASSWORD": f"PREFIX-{secret}"})
    spy = cell.unit("spy", COUNT, env={"ELDEEN": secret[::-1]}, after=["neighbour"])
    proof = cell.unit("proof", COUNT, env={"ELDEEN": secret[::-1], "PASSWORD": f"PREFIX-{secret}"})
    cell.start(neighbour, spy, proof)

    assert harness.until(lambda: cell.text("proof"), "the search of its own memory") == "found\n"
    assert harness.until(lambda: cell.text("spy"), "the search for the neighbour's") == "clean\n"
    first = cell.units()["spy"]["pid"]
    cell.ask("restart", unit="spy")
    cell.ready("spy", besides=first)
    harness.until(lambda: cell.text("spy") == "clean\nclean\n", "the search after a restart")


def test_no_secret_is_told_or_kept_where_it_is_not_needed(one_cell) -> None:
    one_cell.start(one_cell.unit("unit", env={"PASSWORD": "hunter2"}))
    one_cell.ready("unit")
    broken = [one_cell.unit("unit", env={"PASSWORD": "hunter2", "BAD": 1})]

    told = json.dumps([one_cell.ask("status"), one_cell.ask("apply", units=broken)])
    kept = "".join(path.read_text() for path in (one_cell.log, one_cell.state, one_cell.warm.log))

    assert "hunter2" not in told + kept
    assert stat.S_IMODE(one_cell.state.stat().st_mode) == 0o600
    assert stat.S_IMODE(one_cell.socket.stat().st_mode) == 0o600


def test_this_very_interpreter_serves_too() -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with harness.cells(version) as cell:
        assert facts_of(cell)["version"] == list(sys.version_info[:2])
