"""Has spans say which environment they are from, whatever they said before. Pure."""

from __future__ import annotations

from collections.abc import Mapping


class UnreadableSpansError(ValueError):
    """This is no request with spans."""


def named(body: bytes, attributes: Mapping[str, str]) -> bytes:
    """The request with these attributes of every resource, in the place of its own ones of the same names.

    Raises:
        UnreadableSpansError: it is none.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - 7 MB that nobody needs while OTLP is off
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2  # noqa: PLC0415 - as above
    from opentelemetry.proto.common.v1 import common_pb2  # noqa: PLC0415 - as above

    try:
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        raise UnreadableSpansError("This is no request of OTLP with spans.") from None
    for each in request.resource_spans:
        kept = [one for one in each.resource.attributes if one.key not in attributes]
        ours = [
            common_pb2.KeyValue(key=key, value=common_pb2.AnyValue(string_value=value))
            for key, value in attributes.items()
        ]
        del each.resource.attributes[:]
        each.resource.attributes.extend([*ours, *kept])
    return bytes(request.SerializeToString())
