"""Programs of others: they have limits, run as nobody when we are root, and end with all that they started."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from aerodrome import trees
from aerodrome.release import airflow_home, sandbox
from aerodrome.release.failures import ReleaseError
from aerodrome.release.sandbox import SandboxLimits, WritablePaths
from aerodrome.unix_users import UnixUser

NOBODY = UnixUser(61234, 61234)
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


USER = NOBODY if os.geteuid() == 0 else None


def run(script, *, seconds=20.0, user=USER, **options):
    environ = {"PATH": os.defpath, "MARK": "aerodrome-test"}
    return sandbox.run(
        ["/bin/bash", "-c", script], environ=environ, cwd=Path("/"), limits=SandboxLimits(seconds), user=user, **options
    )


def alive(mark):
    return [process for process in psutil.process_iter() if mark in " ".join(_cmdline(process))]


def _cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_code_and_last_lines_come_back():
    lines = []
    ended = run("echo one; echo two >&2; exit 3", on_line=lines.append)
    assert (ended.code, ended.in_time, ended.tail) == (3, True, ("one", "two"))
    assert lines == ["one", "two"]


def test_what_is_kept_and_told_of_its_output_holds_no_secret():
    lines = []
    ended = run("echo https://me:sesame@mine.test/ sesame; sleep 300", seconds=1, on_line=lines.append)
    assert (ended.in_time, ended.tail, lines) == (False, ("https://***@mine.test/ sesame",), [*ended.tail])
    ended = run("echo open sesame", hide=lambda line: line.replace("sesame", "***"))
    assert ended.tail == ("open ***",)


def test_the_environment_is_exactly_the_given_one():
    program = [sys.executable, "-I", "-c", "import os; print(*sorted(os.environ))"]
    ended = sandbox.run(program, environ={"MARK": "1"}, cwd=Path("/"), limits=SandboxLimits(20), user=USER)
    assert ended.tail[-1].replace("LC_CTYPE ", "") == "MARK"


def test_time_runs_out_and_nothing_is_left():
    ended = run("(exec -a left-behind-by-time sleep 300) & sleep 300", seconds=1)
    assert not ended.in_time
    assert not alive("left-behind-by-time")


def test_a_process_that_left_its_session_is_ended_too():
    ended = run("(setsid bash -c 'exec -a left-behind-by-exit sleep 300' &) ; sleep 0.2")
    assert (ended.code, ended.in_time) == (0, True)
    assert not alive("left-behind-by-exit")


CHAIN = """
import os, sys, time
os.closerange(0, 3)
end = time.monotonic() + 60
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
"""


@AS_ROOT
def test_who_forks_faster_than_we_look_is_ended_too():
    program = [sys.executable, "-I", "-S", "-c", f"mark = 'left-behind-by-forking'\n{CHAIN}"]
    lonely = UnixUser(61299, 61299)
    subprocess_of = f"import os, subprocess; [subprocess.Popen({program!r}) for _ in range(3)]"
    environ = {"PATH": os.defpath}
    ended = sandbox.run(
        [sys.executable, "-I", "-c", subprocess_of],
        environ=environ,
        cwd=Path("/"),
        limits=SandboxLimits(20),
        user=lonely,
    )
    assert ended.code == 0
    assert not [each for each in psutil.process_iter() if each.uids().real == lonely.uid]


def test_what_was_written_is_not_taken_while_somebody_still_writes():
    followed = sandbox._Followed.__new__(sandbox._Followed)
    followed._tail, followed._report = (), b'{"code": 0, "why": "itself", "gone": false}'
    with pytest.raises(ReleaseError, match="could not be ended"):
        followed.ended()


def test_memory_is_limited():
    ended = sandbox.run(
        [sys.executable, "-c", "x = bytearray(600 << 20)"],
        environ={}, cwd=Path("/"), limits=SandboxLimits(20, memory=500 << 20), user=USER,
    )  # fmt: skip
    assert ended.code == 1
    assert "MemoryError" in ended.tail[-1]


FORKING = """
import os, time
made = 0
try:
    while made < 500:
        if os.fork() == 0:
            time.sleep(300)
        made += 1
except BlockingIOError:
    print("refused after", made)
"""


@AS_ROOT
def test_processes_are_limited_and_none_is_left():
    lonely = UnixUser(61298, 61298)
    limits = SandboxLimits(60, processes=20)
    ended = sandbox.run([sys.executable, "-c", FORKING], environ={}, cwd=Path("/"), limits=limits, user=lonely)
    assert ended.tail == ("refused after 19",)
    assert not [each for each in psutil.process_iter() if each.uids().real == lonely.uid]


def test_memory_that_is_short_ends_it_before_anything_else():
    assert run("cat /proc/self/oom_score_adj").tail == ("500",)


def writes(folder, code, **limits):
    """What becomes of a program that writes into the folder."""
    if USER is not None:
        os.chown(folder, USER.uid, USER.gid)
    return sandbox.run(
        [sys.executable, "-c", f"import os, time\nblock = os.urandom(1 << 20)\n{code}"],
        environ={}, cwd=folder, user=USER, writable=WritablePaths((folder,), folder),
        limits=SandboxLimits(60, **limits),
    )  # fmt: skip


MANY_FILES = """
for number in range(300):
    with open(str(number), "wb") as file:
        for _ in range(10):
            file.write(block)
    time.sleep(0.02)
"""


def test_what_it_writes_altogether_is_limited(short_folder):
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    ended = writes(folder, MANY_FILES, disk=64 << 20)
    assert (ended.filled, ended.in_time) == (True, False)
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 2 << 30
    trees.remove(folder)


NAMELESS = """
files = []
for number in range(300):
    files.append(open(str(number), "wb"))
    os.unlink(str(number))
    files[-1].write(block)
    files[-1].flush()
time.sleep(300)
"""


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a kernel that lets it mount")
def test_a_disk_is_not_filled_with_files_that_have_no_name(short_folder):
    folder = Path(tempfile.mkdtemp(dir=short_folder))
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=700m", "tmpfs", folder], check=True)
    try:
        ended = writes(folder, NAMELESS, disk=4 << 30)
        assert (ended.filled, ended.in_time) == (True, False)
        assert os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize > 690 << 20
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


def test_a_flood_of_output_is_read_and_forgotten():
    ended = run("head -c 50000000 /dev/zero | tr '\\0' x; echo; yes | head -c 5000000; echo end")
    assert ended.tail[-1] == "end"
    assert len("".join(ended.tail)) < 200_000


def test_what_the_caller_raises_ends_the_program():
    class StoppedError(Exception):
        pass

    def tick():
        if alive("until-cancelled"):
            raise StoppedError

    with pytest.raises(StoppedError):
        run("exec -a until-cancelled sleep 300", tick=tick)
    assert not alive("until-cancelled")


def test_messages_have_a_channel_of_their_own():
    told = bytearray()
    ended = run("echo talk; echo news >&$AERODROME_CHANNEL", on_message=told.extend)
    assert (bytes(told), ended.tail) == (b"news\n", ("talk",))


def test_a_program_that_is_not_there_is_told():
    ended = sandbox.run(["/nowhere/program"], environ={}, cwd=Path("/"), limits=SandboxLimits(20), user=USER)
    assert ended.code == 126
    assert "/nowhere/program" in ended.tail[0]


@AS_ROOT
def test_as_root_the_program_is_somebody_else_without_groups_or_a_way_back():
    ended = run("id -u; id -G; grep NoNewPrivs /proc/self/status; cat /etc/shadow", user=NOBODY)
    assert ended.tail[:2] == ("61234", "61234")
    assert ended.tail[2].split() == ["NoNewPrivs:", "1"]
    assert "Permission denied" in ended.tail[3]


@AS_ROOT
def test_a_program_makes_no_user_namespace():
    attacks = Path(__file__).parents[1] / "cell" / "namespace_attacks.py"
    program = [sys.executable, "-I", "-c", attacks.read_text()]
    ended = sandbox.run(program, environ={"PATH": os.defpath}, cwd=Path("/"), limits=SandboxLimits(30), user=NOBODY)
    *tried, usual, end = ended.tail
    assert len(tried) >= 5
    assert [line for line in tried if not line.endswith(": refused")] == []
    assert (usual, end) == ("threads, children: 1 0", "end")


def test_a_killed_caller_takes_the_program_along():
    code = (
        "from pathlib import Path; from aerodrome.release import sandbox; from aerodrome.unix_users import UnixUser\n"
        "sandbox.run(['/bin/bash', '-c', 'exec -a until-orphaned sleep 300'], environ={}, cwd=Path('/'), "
        f"limits=sandbox.Limits(300), user={USER})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as caller:
        wait_until(lambda: alive("until-orphaned"))
        caller.kill()
    wait_until(lambda: not alive("until-orphaned"))


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@AS_ROOT
def test_a_folder_is_found_where_the_program_expects_it_and_by_nobody_else(short_folder):
    folder, expected = short_folder / "shown", short_folder / "expected"
    for each in (folder, expected):
        each.mkdir()
        each.chmod(0o755)
    (folder / "file").write_text("of the user\n")
    (folder / "file").chmod(0o644)
    seen = run(f"cat {expected}/file; id -u", views=[(folder, expected)], user=NOBODY)
    assert seen.tail == ("of the user", "61234")
    assert [*expected.iterdir()] == []


@AS_ROOT
def test_a_program_is_not_run_where_a_folder_cannot_be_shown(short_folder):
    ended = run("echo ran", views=[(short_folder, short_folder / "nowhere")])
    assert ended.code == 126
    assert str(short_folder / "nowhere") in ended.tail[-1]


ROOMY = """
import multiprocessing, os, socket, sys
top = sys.argv[1]
with socket.socket(socket.AF_UNIX) as client:
    client.connect(top + "/socket")
    print(client.recv(9).decode())
multiprocessing.Lock()
for path in ("/own/file", "/shared/file"):
    try:
        open(top + path, "w").close()
    except OSError as error:
        print(error.strerror)
"""


@pytest.mark.skipif(not airflow_home.can_be_shown(), reason="needs root and a kernel that lets it mount")
def test_a_program_with_a_room_reads_and_connects_and_writes_there_alone(short_folder):
    top = Path(tempfile.mkdtemp(dir=short_folder))
    top.chmod(0o755)
    for name in ("own", "shared"):
        (top / name).mkdir()
        (top / name).chmod(0o777)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(top / "socket"))
        (top / "socket").chmod(0o777)
        listening.listen()

        def greet():
            with listening.accept()[0] as caller:
                caller.sendall(b"hello")

        thread = threading.Thread(target=greet)
        thread.start()
        ended = sandbox.run(
            [sys.executable, "-c", ROOMY, str(top)],
            environ={}, cwd=Path("/"), limits=SandboxLimits(20), user=NOBODY,
            writable=WritablePaths((top / "own",), top / "own"),
        )  # fmt: skip
        thread.join()
    assert (ended.code, ended.tail) == (0, ("hello", "Read-only file system"))
    assert [each.name for each in (top / "own").iterdir() if each.is_file()] == ["file"]
