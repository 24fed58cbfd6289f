"""Scripts in a process that the primed process lends: they find what it has imported, and are confined as any other."""

from __future__ import annotations

import json
import os

import pytest

from aerodrome.release import airflow_home, sandbox
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.unix_users import UnixUser
from integration.cell import harness

USER = UnixUser(61234, 61234) if os.geteuid() == 0 else None

PRIME = """
import os, sys, types
left = types.ModuleType("left_behind")
left.pid = os.getpid()
sys.modules["left_behind"] = left
path = types.ModuleType("aerodrome_path")  # which every version's interpreter has
path.apply = lambda: None
sys.modules["aerodrome_path"] = path
open("held-by-the-primed-process", "w").close()
left.held = open("held-by-the-primed-process")
"""

SCRIPT = """
import json, os, sys
left = sys.modules.get("left_behind")
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
def reaches(call, *words):
    try:
        call(*words)
    except OSError as error:
        return type(error).__name__
    return "yes"
told = {
    "argv": sys.argv[1:],
    "environ": sorted(os.environ),
    "is_lent": left is not None and left.pid != os.getpid(),
    "ours": [name for name in sys.modules if name.startswith("aerodrome_cell")],
    "descriptors": [os.readlink("/proc/self/fd/" + fd) for fd in os.listdir("/proc/self/fd")
                    if int(fd) > 2 and os.path.exists("/proc/self/fd/" + fd)],
    "uid": os.getuid(), "groups": os.getgroups(), "cwd": os.getcwd(),
    "privileges": status["NoNewPrivs"],
    "signals": reaches(os.kill, left.pid, 0) if left else "",
    "memory": reaches(open, "/proc/%d/mem" % left.pid) if left else "",
    "itself": reaches(open, "/proc/self/environ"),
    "root": reaches(os.setuid, 0),
    "writes": [reaches(open, path, "w") for path in (sys.argv[2], os.path.join(os.getcwd(), "file"))],
}
os.write(int(os.environ["AERODROME_CHANNEL"]), json.dumps(told).encode())
print("printed")
sys.exit(7)
"""


@pytest.fixture
def place():
    with harness.folder() as path:
        yield path


@pytest.fixture
def lender(place):
    """The socket of a primed process."""
    script, file, home = place / "prime.py", place / "prime.json", place / "home"
    script.write_text(PRIME)
    home.mkdir()
    socket = place / "primed.sock"
    wanted = {"socket": str(socket), "argv": [str(script)], "env": {}, "cwd": str(home), "views": []}
    file.write_text(json.dumps(wanted))
    warm = harness.Warm(place, harness.interpreters(harness.VERSIONS[1]), more=("--prime", str(file)))
    try:
        harness.until(lambda: harness.serves(socket), "a primed process")
        yield socket
    finally:
        warm.kill()


def run(place, lender, text=SCRIPT, **options):
    script, own = place / "script.py", place / "own"
    script.write_text(text)
    script.chmod(0o644)
    own.mkdir(exist_ok=True)
    own.chmod(0o777)
    python = harness.interpreters(harness.VERSIONS[1])
    words = [str(script), "one", str(place / "elsewhere")]
    told = bytearray()
    ended = sandbox.run(
        [python, "-s", *words], environ={"MARK": "1"}, cwd=own, limits=SandboxLimits(60), user=USER,
        on_message=told.extend, writable=WritablePaths((own,), own), lender=lender, script=words, **options,
    )  # fmt: skip
    return ended, json.loads(told or b"{}")


def test_a_script_finds_what_is_imported_and_nothing_else_of_the_lender(place, lender):
    ended, told = run(place, lender)
    assert (ended.code, ended.in_time, ended.tail[-1]) == (7, True, "printed")
    assert told["is_lent"]
    assert told["argv"] == ["one", str(place / "elsewhere")]
    assert {*told["environ"]} - {"LC_CTYPE"} == {"MARK", "AERODROME_CHANNEL"}
    assert told["ours"] == []
    assert len(told["descriptors"]) == 1  # the channel
    assert told["cwd"] == str(place / "own")


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a kernel that lets it mount")
def test_a_script_in_a_lent_process_is_confined_as_in_a_new_one(place, lender):
    confined = ("uid", "groups", "privileges", "itself", "root", "writes")
    _, lent = run(place, lender)
    _, fresh = run(place, None)
    assert {name: lent[name] for name in confined} == {name: fresh[name] for name in confined}
    assert (lent["uid"], lent["groups"], lent["privileges"]) == (61234, [], "1")
    assert lent["itself"] == "yes"
    assert lent["writes"] == ["OSError", "yes"]
    assert {lent["signals"], lent["memory"], lent["root"]} == {"PermissionError"}


def test_where_nobody_lends_a_new_interpreter_runs_the_script(place, lender):
    harness.ask(lender, op="exit")
    harness.until(lambda: not lender.exists(), "the end of the lender")
    ended, told = run(place, lender)
    assert (ended.code, told["is_lent"]) == (7, False)


def test_what_runs_in_a_lent_process_is_ended_with_all_that_it_began(place, lender):
    began = place / "own" / "began"

    class StopError(Exception):
        pass

    def tick():
        if began.exists():
            raise StopError

    text = (
        "import os, pathlib, time\nchild = os.fork()\nif child == 0: os.setsid()\n"
        f"else: pathlib.Path({str(began)!r}).write_text(str(child))\ntime.sleep(300)\n"
    )
    with pytest.raises(StopError):
        run(place, lender, text, tick=tick)
    harness.until(lambda: harness.dead(int(began.read_text())), "the end of what it began")
    assert harness.serves(lender)
