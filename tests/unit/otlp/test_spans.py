"""Whatever spans say, they are of the environment that sent them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from aerodrome.otlp import resources, spans
from collector import attributes, request_with_spans

BLUE = resources.attributes("blue")


def test_an_environment_cannot_be_claimed():
    body = request_with_spans("a", aerodrome_environment="green", service_name="green", telemetry_sdk_language="python")
    [found] = ExportTraceServiceRequest.FromString(spans.named(body, BLUE)).resource_spans
    assert attributes(found.resource.attributes) == {**BLUE, "telemetry.sdk.language": "python"}
    assert BLUE["aerodrome.environment"] == BLUE["service.name"] == "blue"
    assert [span.name for span in found.scope_spans[0].spans] == ["a"]


def test_a_claim_that_is_made_twice_does_not_stay_either():
    one = request_with_spans("a", aerodrome_environment="green")
    twice = ExportTraceServiceRequest.FromString(one)
    claims = twice.resource_spans[0].resource.attributes
    claims.extend([*claims])
    body = twice.SerializeToString() + request_with_spans("b")
    found = ExportTraceServiceRequest.FromString(spans.named(body, BLUE)).resource_spans
    assert [attributes(each.resource.attributes)["aerodrome.environment"] for each in found] == ["blue", "blue"]


def test_nothing_stays_nothing():
    assert spans.named(b"", BLUE) == b""


@pytest.mark.parametrize("body", [b"\xff", b"{}", request_with_spans("a")[:-1]])
def test_what_is_no_request_is_refused(body):
    with pytest.raises(spans.UnreadableSpansError):
        spans.named(body, BLUE)


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(body):
    try:
        spans.named(body, BLUE)
    except spans.UnreadableSpansError:
        return
