"""A queue belongs to one database, and goes and comes with it, in a real Redis of the environment's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
import redis

from aerodrome.backends.local import paths as local_paths
from aerodrome.errors import RetryError
from aerodrome.model import defaults
from aerodrome.model.orders import AT_ONCE, Keep, Remove, ServicesOrder
from aerodrome.services import processes
from contract import benches
from product import wait_for


class Queue:
    """An environment's services, and what is queued there."""

    def __init__(self, bench: benches.LocalBench) -> None:
        self.bench = bench
        self.paths = local_paths.of(bench.settings.paths, bench.tenant.name, bench.tenant.identifier)

    def serve(self, number: int) -> None:
        """Order the services of that database, as often as is needed."""
        wanted = replace(self.bench.services, queue=number)
        wait_for("the services follow", lambda: self.bench.can(wanted) and self.order == wanted)
        wait_for("Redis serves", lambda: "redis" in self.bench.see().services.ready)

    @property
    def order(self) -> ServicesOrder | None:
        found = self.bench.see().services.order
        assert not isinstance(found, benches.CellOrder)
        return found

    def end(self) -> None:
        self.bench.act(replace(self.bench.services, keep=Keep.NOTHING, patience=AT_ONCE))

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.paths.redis_socket), decode_responses=True)

    def put(self, message: str) -> None:
        with self.redis() as client:
            client.rpush("default", message)

    def messages(self) -> list[str]:
        with self.redis() as client:
            return client.lrange("default", 0, -1)

    def aside(self) -> list[str]:
        return sorted(each.name for each in self.paths.home.glob("spool.*"))


@pytest.fixture
def queue(cluster) -> Iterator[Queue]:
    request = {
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "SourceBucketArn": "arn:aws:s3:::bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
    }
    spec = defaults.complete("one", request, latest_version="3.3.1")
    with benches.on_this_machine(spec, cluster, None) as made:
        yield Queue(made)
        made.act(Remove())


def test_another_databases_queue_is_empty_and_the_old_one_comes_back_with_its_own(queue: Queue) -> None:
    queue.serve(1)
    queue.put("of 1")
    queue.end()
    queue.serve(1)
    assert queue.messages() == ["of 1"]
    queue.serve(3)  # while Redis runs, which is ended first
    assert queue.messages() == []
    queue.put("of 3")
    queue.bench.act(Remove(revision=3))  # of the change that failed
    queue.serve(1)
    assert queue.messages() == ["of 1"]
    assert queue.aside() == []


def test_what_was_put_aside_is_forgotten_with_the_revision_that_queued_it(queue: Queue) -> None:
    queue.serve(1)
    queue.put("of 1")
    queue.end()
    queue.serve(3)
    assert queue.aside() == ["spool.3"]
    queue.bench.act(Remove(revision=3))
    assert queue.aside() == ["spool.3"]  # it may still have to come back
    queue.bench.act(Remove(revision=1))
    assert queue.aside() == []
    assert queue.messages() == []


@pytest.mark.parametrize("begin", ["aside", "back"])
def test_who_is_killed_while_queues_change_goes_on_from_there(queue: Queue, begin: str) -> None:
    queue.serve(1)
    queue.put("of 1")
    queue.end()
    if begin == "back":
        queue.serve(3)
        queue.end()
    number, wanted = (1, 3) if begin == "aside" else (3, 1)
    queue.serve(wanted)
    queue.end()
    queue.paths.queue.write_text(str(number))  # as if it had not come to be noted
    queue.serve(wanted)
    assert queue.messages() == ([] if begin == "aside" else ["of 1"])
    assert queue.aside() == (["spool.3"] if begin == "aside" else [])


def test_services_that_are_just_ending_are_begun_anew_when_they_have(queue: Queue) -> None:
    queue.serve(1)
    queue.end()
    with subprocess.Popen(["/bin/sleep", "1"]) as ending:  # in the place of a cell that answers no more
        note = {"pid": ending.pid, "mark": processes.mark(ending.pid)}
        (queue.paths.run / "services.pid").write_text(json.dumps(note))
        with pytest.raises(RetryError, match="just ending"):
            queue.bench.act(queue.bench.services)
    queue.serve(1)
