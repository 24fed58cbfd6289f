"""A worker is told to end, or to take no more, in the moment in which tasks arrive: none is lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_client

import lines
from aerodrome.airflow.context import INSIDE
from aerodrome.services import redis
from matrices import ALL_FAULTS
from waiting import LIMIT, wait_for

WORKER = """
import os, pathlib, signal, sys, time
sys.path.insert(0, {inside!r})
from celery import Celery
from celery.signals import task_received
from aerodrome_unit import reserved_messages

app = Celery(broker="redis+socket://{socket}")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="default")
reserved_messages.keep_under(app, "worker-1.1")
reserved_messages.give_back_late_ones()

received = 0

@task_received.connect(weak=False)
def end_at_once(**_):
    global received
    received += 1
    if received == {end_at}:
        os.kill(os.getpid(), signal.SIGTERM)

@app.task(name="wait")
def wait(path):
    pathlib.Path(path + ".begun").touch()
    while not pathlib.Path(path).exists():
        time.sleep(0.02)

if __name__ == "__main__":
    if sys.argv[1] == "send":
        for number in range(int(sys.argv[3])):
            wait.delay(sys.argv[2] + "." + str(number))
            time.sleep(0.02)
    else:
        app.worker_main(["worker", "--concurrency", "20", "--without-gossip", "--without-mingle"])
"""

SENT = 60
"""Tasks that arrive in 20 ms each, for longer than a worker that was told to end hears the queue."""


@pytest.fixture
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    socket = Path("/tmp") / f"aero-{folder.name}-{id(folder)}.sock"  # noqa: S108 - socket paths must be short
    server = subprocess.Popen(
        [str(redis.find_program()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    wait_for("Redis listens", socket.exists)
    yield socket
    server.terminate()
    server.wait()
    socket.unlink(missing_ok=True)


@pytest.mark.parametrize("end_at", [None, 5], ids=["between two tasks", "with one in its hand"])
@pytest.mark.parametrize("version", lines.ONE)  # Celery 4 loses one of them: docs/versions.md
def test_what_arrives_when_a_worker_was_told_to_end_is_in_the_queue(
    version, interpreter_of_version, broker, tmp_path, end_at
):
    interpreter = interpreter_of_version(version)
    program, started = tmp_path / "program.py", tmp_path / "running"
    program.write_text(WORKER.format(inside=str(INSIDE), socket=broker, end_at=end_at))
    queue = redis_client.Redis(unix_socket_path=str(broker))

    def begun() -> int:
        return len(list(tmp_path.glob("late.*.begun")))

    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen([str(interpreter), str(program), "work"], stdout=log, stderr=log)
    try:
        subprocess.run([str(interpreter), str(program), "send", str(started), "1"], check=True, timeout=LIMIT)
        wait_for("its task runs", started.with_name("running.0.begun").exists)
        sending = subprocess.Popen([str(interpreter), str(program), "send", str(tmp_path / "late"), str(SENT)])
        wait_for("the first of the others runs", (tmp_path / "late.0.begun").exists)
        if end_at is None:
            worker.terminate()
        assert sending.wait(LIMIT) == 0
        # A task that the worker took in time may begin a little later still: the two are counted together.
        wait_for("each of them runs or is in the queue", lambda: begun() + queue.llen("default") == SENT)
        assert queue.llen("default")
        assert worker.poll() is None
    finally:
        for name in ["running.0", *(f"late.{number}" for number in range(SENT))]:
            (tmp_path / name).touch()
        worker.wait(LIMIT)
    assert begun() + queue.llen("default") == SENT


FOLLOWING = """
import sys, time
sys.path.insert(0, {inside!r})
from celery import Celery
from celery.signals import worker_ready
from aerodrome_unit import reserved_messages, taking_tasks

app = Celery(broker="redis+socket://{socket}")
app.conf.update(
    task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="default", worker_hijack_root_logger=False
)

def note(key, *words):
    with app.connection_for_write() as connection, connection.default_channel.conn_or_acquire() as client:
        client.rpush(key, " ".join(map(str, words)))

@app.task(name="work")
def work(number):
    note("begun", number, time.time())
    time.sleep(0.01)

if __name__ == "__main__":
    _, what, name = sys.argv
    if what == "send":
        number = 0
        while not app.connection_for_read().default_channel.client.exists("enough"):
            work.delay(number)
            number += 1
            time.sleep({pause})
        note("sent", number)
    else:
        taking_tasks.LOOK_EVERY = {every}
        reserved_messages.keep_under(app, name)
        reserved_messages.give_back(app)
        reserved_messages.give_back_forgotten_ones(app)
        taking_tasks.follow(app, {file!r}, name, "default", lambda held: note("told", name, held, time.time()))
        reserved_messages.give_back_late_ones()
        worker_ready.connect(lambda **_: note("told", name, "ready", time.time()), weak=False)
        app.worker_main(["worker", "--concurrency", "4", "--without-gossip", "--without-mingle"])
"""


class Following:
    """Workers that follow a file, and somebody who sends tasks without a pause."""

    def __init__(self, interpreter: Path, broker: Path, folder: Path, *, every: float, pause: float) -> None:
        self.interpreter, self.folder = interpreter, folder
        self.file, self.program = folder / "consuming", folder / "program.py"
        self.program.write_text(
            FOLLOWING.format(inside=str(INSIDE), socket=broker, file=str(self.file), every=every, pause=pause)
        )
        self.queue = redis_client.Redis(unix_socket_path=str(broker), decode_responses=True)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, what: str, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [str(self.interpreter), str(self.program), what, name], stdout=log, stderr=log, cwd=self.folder
            )
        self.processes[name] = process
        return process

    def take(self, *names: str) -> None:
        """Let these workers take tasks."""
        beside = self.file.with_suffix(".new")
        beside.write_text("".join(f"{name}\n" for name in names))
        beside.replace(self.file)

    def told(self, name: str, since: int = 0) -> list[str]:
        """What a worker has said: how many tasks it held, None that it takes some, or that it is ready."""
        return [word for of, word, _ in map(str.split, self.queue.lrange("told", since, -1)) if of == name]

    def words(self) -> int:
        """How often any worker has said something."""
        return int(self.queue.llen("told"))

    def begun(self) -> list[int]:
        return [int(each.split()[0]) for each in self.queue.lrange("begun", 0, -1)]

    def check_nothing_is_lost(self) -> None:
        """Stop to send, and check that each task has run once, and that nobody holds a message."""
        self.queue.set("enough", 1)
        assert self.processes["sender"].wait(LIMIT) == 0
        sent = int(self.queue.lrange("sent", 0, -1)[0])
        wait_for("every task has run", lambda: len(self.begun()) >= sent and not self.queue.llen("default"))
        wait_for("nobody holds a message", lambda: not any(map(self.queue.hlen, self.queue.keys("unacked.*"))))
        assert sorted(self.begun()) == [*range(sent)]

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def following(broker, interpreter_of_version, tmp_path):
    made: list[Following] = []

    def make(version: str, **more: float) -> Following:
        made.append(Following(interpreter_of_version(version), broker, tmp_path, **more))
        return made[0]

    yield make
    for each in made:
        each.end()


FLIPS = 2000 if ALL_FAULTS else 120
"""How often a worker stops to take tasks and begins again, while tasks arrive without a pause."""


@pytest.mark.parametrize("version", lines.ONE)
def test_a_message_that_is_taken_in_the_moment_of_the_cancellation_is_not_lost(
    version: str, following: Callable[..., Following]
):
    """apache/airflow#21225, celery/celery#7266: tasks arrive all the time, and again and again nobody may take one."""
    here = following(version, every=0.002, pause=0.003)
    here.take("one")
    here.start("work", "one")
    wait_for("the worker is ready", lambda: "ready" in here.told("one"))
    here.start("send", "sender")
    for flip in range(FLIPS):
        known = here.words()
        here.take(*([] if flip % 2 == 0 else ["one"]))
        # Most flips come in the middle of it; every tenth drain comes to its end.
        if flip % 20 == 0:
            wait_for("it is empty", lambda known=known: "0" in here.told("one", known))
        else:
            time.sleep(0.002 * (flip % 7))
    here.take("one")
    here.check_nothing_is_lost()
    assert check_empty_means_empty(here) >= FLIPS // 20


def check_empty_means_empty(here: Following) -> int:
    """Check that no task began between two reports of a worker that it holds none; returns the number of such pairs."""
    begun = sorted(float(each.split()[1]) for each in here.queue.lrange("begun", 0, -1))
    words = [(word, float(at)) for _, word, at in map(str.split, here.queue.lrange("told", 0, -1))]
    quiet = [(at, until) for (word, at), (after, until) in itertools.pairwise(words) if word == after == "0"]
    for at, until in quiet:
        assert not [moment for moment in begun if at < moment < until]
    return len(quiet)


OUTAGE = """
import os, pathlib, sys, time
sys.path.insert(0, {inside!r})
from celery import Celery
from celery.worker.request import Request
from aerodrome_unit import reserved_messages

app = Celery(broker="redis+socket://{socket}")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="default")
reserved_messages.keep_under(app, "worker-1.1")

acknowledge = Request.acknowledge

def swallow(request):
    Request.acknowledge = acknowledge
    request.acknowledged = True  # what is left when the broker is away in that moment

Request.acknowledge = swallow

@app.task(name="work")
def work(seconds):
    with open({begun!r}, "a") as file:
        file.write(str(seconds) + "\\n")
    time.sleep(seconds)

if __name__ == "__main__":
    if sys.argv[1] == "send":
        for seconds in sys.argv[2:]:
            work.delay(int(seconds))
    else:
        reserved_messages.give_back_forgotten_ones(app)
        reserved_messages.give_back_late_ones()
        app.worker_main(["worker", "--concurrency", "2", "--without-gossip", "--without-mingle"])
"""


@pytest.mark.parametrize("version", lines.ONE)
def test_a_worker_holds_nothing_for_ever_when_its_broker_was_away(version, interpreter_of_version, tmp_path):
    socket, begun = Path(f"/tmp/aero-away-{os.getpid()}.sock"), tmp_path / "begun"  # noqa: S108 - as above
    words = [str(redis.find_program()), "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    program, interpreter = tmp_path / "program.py", str(interpreter_of_version(version))
    program.write_text(OUTAGE.format(inside=str(INSIDE), socket=socket, begun=str(begun)))
    queue = redis_client.Redis(unix_socket_path=str(socket))

    def is_there() -> bool:
        with contextlib.suppress(redis_client.RedisError):
            return bool(queue.ping())
        return False

    def tasks() -> list[str]:
        return sorted(begun.read_text().split()) if begun.exists() else []

    with contextlib.ExitStack() as ending, (tmp_path / "log").open("w") as log:
        ending.callback(socket.unlink, missing_ok=True)

        def start(*command: str) -> subprocess.Popen[bytes]:
            process = ending.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            ending.callback(process.kill)
            return process

        server = start(*words, "--appendonly", "yes", "--appendfsync", "always")
        wait_for("Redis answers", is_there)
        start(interpreter, str(program), "work")
        subprocess.run([interpreter, str(program), "send", "0", "8"], check=True, timeout=LIMIT)
        wait_for("both have begun", lambda: tasks() == ["0", "8"])
        server.kill()
        wait_for("the worker sees it", lambda: "Cannot connect" in (tmp_path / "log").read_text())
        start(*words, "--appendonly", "yes", "--appendfsync", "always")
        wait_for("what was done is given back, and done again", lambda: tasks() == ["0", "0", "8"])
        wait_for("nothing is held", lambda: is_there() and not queue.hlen("unacked.worker-1.1"))
        assert tasks() == ["0", "0", "8"]


@pytest.mark.parametrize("version", lines.ONE)
def test_workers_that_end_one_after_the_other_lose_no_task(version: str, following: Callable[..., Following]):
    here = following(version, every=0.05, pause=0.02)
    names = ["one", "two", "three", "four"]
    here.take(names[0])
    here.start("work", names[0])
    here.start("send", "sender")
    for name, successor in itertools.pairwise(names):
        here.start("work", successor)
        here.take(name, successor)
        wait_for(
            "both are ready",
            lambda name=name, successor=successor: "ready" in here.told(name) and "ready" in here.told(successor),
        )
        known = here.words()
        here.take(successor)
        wait_for("it is empty twice", lambda name=name, known=known: here.told(name, known).count("0") >= 2)
        here.processes[name].terminate()  # its main process alone
        assert here.processes[name].wait(LIMIT) == 0
    here.check_nothing_is_lost()
