"""Spans on their way from units through a real sidecar to a collector."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aerodrome.otlp import addresses
from aerodrome.otlp.addresses import CollectorAddress
from collector import TestCollector, request_with_spans, started
from waiting import wait_for

KIND = {"Content-Type": "application/x-protobuf"}
STRANGER = 47_002

SEND = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
connection.request("POST", "/v1/traces", b"", {"Content-Type": "application/x-protobuf"})
print(connection.getresponse().status)
"""


@pytest.fixture
def collector() -> Iterator[TestCollector]:
    with started() as made:
        yield made


def post(sidecar, body: bytes, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", sidecar.config["credentials_port"], timeout=60)
    try:
        connection.request("POST", "/v1/traces", body, KIND | headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_spans_reach_the_collector_in_the_environments_name_alone(sidecar, collector, tmp_path):
    headers, told = tmp_path / "headers", tmp_path / "collector.json"
    headers.touch(0o600)
    headers.write_text("Authorization: Bearer the-secret")
    sidecar.config["collector"] = str(told)
    sidecar.start()
    assert post(sidecar, request_with_spans("before")) == 200
    addresses.write(told, CollectorAddress(collector.endpoint, headers))
    assert post(sidecar, b"no message") == 400
    assert post(sidecar, request_with_spans("small", service_name="green", aerodrome_environment="green")) == 200
    assert post(sidecar, request_with_spans(*(f"span {number}" * 20 for number in range(5000)))) == 200
    assert post(sidecar, b"", **{"Content-Encoding": "gzip"}) == 415
    wait_for("all have come", lambda: len([*collector.spans()]) == 5001)
    assert {(found["service.name"], found["aerodrome.environment"]) for found, _ in collector.spans()} == {
        ("blue", "blue")
    }
    assert {each.headers["authorization"] for each in collector.received} == {"Bearer the-secret"}
    wait_for("it is told", lambda: sidecar.status.get("traces"))
    assert sidecar.status["traces"]["error"] is None
    assert "the-secret" not in sidecar.log.read_text()


def test_what_is_taken_is_sent_when_the_sidecar_ends(sidecar, collector, tmp_path):
    sidecar.config["collector"] = str(tmp_path / "collector.json")
    addresses.write(tmp_path / "collector.json", collector.address)
    sidecar.start()
    assert post(sidecar, request_with_spans("last")) == 200
    sidecar.stop()
    assert [span.name for _, span in collector.spans()] == ["last"]


def test_units_do_not_notice_a_collector_that_hangs(sidecar, collector, tmp_path):
    sidecar.config["collector"] = str(tmp_path / "collector.json")
    addresses.write(tmp_path / "collector.json", collector.address)
    collector.hangs.set()
    sidecar.start()
    assert post(sidecar, request_with_spans("a")) == 200
    wait_for("it hangs", lambda: collector.received)
    assert [post(sidecar, request_with_spans("b")) for _ in range(10)] == [200] * 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_a_neighbour_sends_nothing(sidecar, collector, tmp_path):
    sidecar.config |= {"collector": str(tmp_path / "collector.json"), "credentials_users": [47_001]}
    addresses.write(tmp_path / "collector.json", collector.address)
    sidecar.start()
    command = [sys.executable, "-I", "-c", SEND, str(sidecar.config["credentials_port"])]
    done = subprocess.run(
        command, user=STRANGER, group=STRANGER, extra_groups=[], capture_output=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == (b"", 1)
