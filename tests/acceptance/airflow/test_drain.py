"""A worker that is told to end, and tasks that arrive in that very second: the queue has them, and nobody else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis as redis_client

import lines
from aerodrome.airflow.context import INSIDE
from aerodrome.services import redis
from waiting import wait_for

WORKER = """
import pathlib, sys, time
sys.path.insert(0, {inside!r})
from celery import Celery
from aerodrome_unit import reserved_messages

app = Celery(broker="redis+socket://{socket}")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="default")
reserved_messages.keep_under(app, "worker-1.1")
reserved_messages.give_back_late_ones()

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


@pytest.mark.parametrize("version", lines.ONE)  # Celery 4 loses one of them: docs/versions.md
def test_what_arrives_when_a_worker_was_told_to_end_is_in_the_queue(version, interpreter_of_version, broker, tmp_path):
    interpreter = interpreter_of_version(version)
    program, started = tmp_path / "program.py", tmp_path / "running"
    program.write_text(WORKER.format(inside=str(INSIDE), socket=broker))
    queue = redis_client.Redis(unix_socket_path=str(broker))

    def begun() -> int:
        return len(list(tmp_path.glob("late.*.begun")))

    with (tmp_path / "log").open("w") as log:
        worker = subprocess.Popen([str(interpreter), str(program), "work"], stdout=log, stderr=log)
    try:
        subprocess.run([str(interpreter), str(program), "send", str(started), "1"], check=True, timeout=60)
        wait_for("its task runs", started.with_name("running.0.begun").exists)
        sending = subprocess.Popen([str(interpreter), str(program), "send", str(tmp_path / "late"), str(SENT)])
        wait_for("the first of the others runs", (tmp_path / "late.0.begun").exists)
        worker.terminate()
        assert sending.wait(60) == 0
        # A task that the worker took in time may begin a little later still: the two are counted together.
        wait_for("each of them runs or is in the queue", lambda: begun() + queue.llen("default") == SENT)
        assert queue.llen("default")
        assert worker.poll() is None
    finally:
        for name in ["running.0", *(f"late.{number}" for number in range(SENT))]:
            (tmp_path / name).touch()
        worker.wait(60)
    assert begun() + queue.llen("default") == SENT
