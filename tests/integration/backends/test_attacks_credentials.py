"""The credentials of an environment's execution role, asked of its real sidecar by each user of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aerodrome.backends.local import paths as local_paths
from aerodrome.backends.local.users import Users
from aerodrome.model import defaults
from aerodrome.model.orders import Remove
from aerodrome.unix_users import UnixUser
from contract import benches
from product import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="environments have uids of their own only as root")

REQUEST = {
    "ExecutionRoleArn": "arn:aws:iam::000000000000:role/execution",
    "SourceBucketArn": "arn:aws:s3:::bucket",
    "DagS3Path": "dags",
    "NetworkConfiguration": {"SubnetIds": ["subnet-a", "subnet-b"], "SecurityGroupIds": ["sg-a"]},
}

ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("GET", "/credentials", headers={"Authorization": sys.argv[2]})
print(connection.getresponse().status)
"""


@pytest.fixture
def bench(cluster):
    spec = defaults.complete("one", REQUEST, latest_version="3.3.1")
    with benches.on_this_machine(spec, cluster, None) as made:
        yield made
        made.act(Remove())


def answer(user: UnixUser | None, port: str, token: str) -> str:
    """The status that a process of that user gets; empty when it gets no answer."""
    assert user is not None
    command = [sys.executable, "-I", "-c", ASK, port, token]
    done = subprocess.run(
        command, user=user.uid, group=user.gid, extra_groups=[], capture_output=True, text=True, check=False, timeout=90
    )
    return done.stdout.strip()


def test_only_an_environments_own_users_are_answered(bench):
    wait_for("the services are ordered", lambda: bench.can(bench.services))
    wait_for("the sidecar serves", lambda: "sidecar" in bench.see().services.ready)
    paths = local_paths.of(bench.settings.paths, bench.tenant.name, bench.tenant.identifier)
    asked = paths.services.port.read_text(), paths.credentials_token.read_text()
    users = Users(bench.settings)
    # There is no STS here, which is told to those who may ask: its tasks, and its startup script while it is built.
    assert answer(users.owner_of(bench.tenant.number), *asked) == "503"
    assert answer(users.builder_of(bench.tenant.number), *asked) == "503"
    assert answer(users.owner_of(bench.tenant.number + 1), *asked) == ""
    assert answer(users.builder_of(bench.tenant.number + 1), *asked) == ""
