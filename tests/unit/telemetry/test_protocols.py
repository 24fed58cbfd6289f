"""Each protocol's requests read and answers written, against botocore's own client side."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import cbor2
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import bounded_json, service_models
from aerodrome.telemetry.metrics import protocols
from aerodrome.telemetry.metrics.protocols import Called, MetricsFailure, Protocol, UnreadableError

NAMES = {Protocol.CBOR: "smithy-rpc-v2-cbor", Protocol.JSON: "json", Protocol.QUERY: "query"}
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
GIVEN = {
    "Namespace": "n",
    "MetricData": [
        {
            "MetricName": "ü",
            "Dimensions": [{"Name": "d", "Value": "v"}],
            "Timestamp": AT,
            "Values": [1.5, 2.0],
            "Counts": [1.0, 3.0],
            "StorageResolution": 60,
            "Unit": "Count",
        }
    ],
}


def sent(protocol, name, given):
    """Path, target, query and body, as botocore sends them."""
    request = create_serializer(NAMES[protocol]).serialize_to_request(given, protocols.operation(name))
    body = request["body"]
    raw = urlencode(body).encode() if isinstance(body, dict) else body
    target = request["headers"].get("X-Amz-Target", "")
    return request["url_path"], target, "", raw


def read(path, target, query, body):
    called = protocols.called(path, target, query, body)
    return called, protocols.document(called, protocols.operation(called.name), body)


@pytest.mark.parametrize("protocol", Protocol)
def test_a_request_is_read_alike_in_each_protocol(protocol):
    called, found = read(*sent(protocol, "PutMetricData", GIVEN))
    assert (called.protocol, called.name) == (protocol, "PutMetricData")
    (datum,) = found["MetricData"]
    assert datum.pop("Timestamp") == pytest.approx(AT.timestamp(), abs=1)
    assert found == {**GIVEN, "MetricData": [{k: v for k, v in GIVEN["MetricData"][0].items() if k != "Timestamp"}]}


@pytest.mark.parametrize("protocol", Protocol)
def test_an_answer_is_read_by_botocore(protocol):
    wanted = protocols.operation("GetMetricData")
    result = {"Id": "a", "Label": "l", "Timestamps": [AT.timestamp()], "Values": [2.0], "StatusCode": "Complete"}
    body = protocols.success(protocol, wanted, {"MetricDataResults": [result], "NextToken": None}, "id")
    headers = {name.decode(): value.decode() for name, value in protocols.headers(protocol, None, 200)}
    found = create_parser(NAMES[protocol]).parse(
        {"status_code": 200, "headers": headers, "body": body}, wanted.output_shape
    )
    (one,) = found["MetricDataResults"]
    assert one["Timestamps"][0].timestamp() == pytest.approx(AT.timestamp(), abs=1)
    assert (one["Id"], one["Values"], one["StatusCode"]) == ("a", [2.0], "Complete")


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize(("code", "status"), [("ResourceNotFound", 404), ("ValidationError", 400)])
def test_a_refusal_is_read_by_botocore(protocol, code, status):
    failure = MetricsFailure(code=code, sentence="why")
    found, body = protocols.failure(Called(protocol=protocol, name="GetDashboard"), failure, "id")
    headers = {name.decode(): value.decode() for name, value in protocols.headers(protocol, failure, found)}
    wanted = protocols.operation("GetDashboard")
    parsed = create_parser(NAMES[protocol]).parse(
        {"status_code": found, "headers": headers, "body": body}, wanted.output_shape
    )
    assert (found, parsed["Error"]["Code"], parsed["Error"]["Message"]) == (status, code, "why")


@pytest.mark.parametrize(
    ("operation", "shape"),
    [("SetAlarmState", "ResourceNotFound"), ("GetDashboard", "DashboardNotFoundError"), ("Nothing", "")],
)
def test_a_refusal_has_the_shape_that_its_operation_declares(operation, shape):
    for protocol in (Protocol.JSON, Protocol.CBOR):
        failure = MetricsFailure(code="ResourceNotFound", sentence="why")
        _, body = protocols.failure(Called(protocol=protocol, name=operation), failure, "id")
        told = cbor2.loads(body) if protocol is Protocol.CBOR else json.loads(body)
        assert told["__type"].endswith(f"#{shape}" if shape else "")


@given(st.binary(max_size=200), st.sampled_from(Protocol))
def test_whatever_is_sent_is_read_or_refused(body, protocol):
    path, target, _, _ = sent(protocol, "ListMetrics", {})
    with contextlib.suppress(UnreadableError):
        read(path, target, "", body)


@pytest.mark.parametrize(
    "body",
    [b"\x81" * 100_000, b"\xd8\x1c\x81\xd8\x1d\x00", b"\x9b" + b"\xff" * 8, b"\xbf" * 1000, b"\xc2\x5b" + b"\xff" * 8],
)
def test_hostile_cbor_is_refused(body):
    with pytest.raises(UnreadableError):
        read(f"{protocols.PATH}ListMetrics", "", "", body)


def test_the_namespace_of_forms_is_the_models():
    assert service_models.of(protocols.SERVICE).metadata["xmlNamespace"] == protocols.XMLNS


def test_cbor_of_many_values_is_refused_while_it_is_read():
    asked = protocols.called(f"{protocols.PATH}PutMetricData", "", "", b"")
    wanted = protocols.operation("PutMetricData")
    many = [{"MetricName": "m" * 250, "Values": [1.5] * 100}] * 1000
    assert protocols.document(asked, wanted, cbor2.dumps({"Namespace": "n", "MetricData": many}))["MetricData"] == many
    for value in (b"\x80", b"\xa0", b"\x01", b"\x60"):
        body = b"\x9a" + (2 * bounded_json.MOST_VALUES).to_bytes(4, "big") + value * 2 * bounded_json.MOST_VALUES
        with pytest.raises(UnreadableError):
            protocols.document(asked, wanted, b"\xa1\x6aMetricData" + body)
