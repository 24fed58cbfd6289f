"""The wire against botocore's model: only declared errors are raised, and botocore reads what we write."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.model import Shape, StructureShape
from botocore.parsers import RestJSONParser
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import errors as ours
from aerodrome import java_patterns
from aerodrome.api.wire import answers, constraints, errors, hints, requests, routes, service
from aerodrome.operations import table

OPERATIONS = [operation.name for operation in service.operations()]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=10,
)


def every_shape() -> list[Shape]:
    return [service.model().shape_for(name) for name in service.model().shape_names]


def refusal(match: routes.Match, query: str, body: bytes) -> errors.WireError | None:
    try:
        requests.read(match, query, body, hints.HINTS)
    except errors.WireError as error:
        return error
    return None


def test_our_signing_name_is_the_models() -> None:
    assert service.model().signing_name == service.SIGNING_NAME


def test_every_operation_has_a_row() -> None:
    assert set(table.OPERATIONS) == set(OPERATIONS)


def test_the_model_stays_within_what_the_wire_knows() -> None:
    """Members in headers, payload members, blobs and unions would need code that does not exist."""
    kinds = {"structure", "map", "list", "string", "integer", "double", "boolean", "timestamp"}
    for operation in service.operations():
        shape = operation.input_shape
        assert isinstance(shape, StructureShape)
        assert "payload" not in shape.serialization
        assert {inner.serialization.get("location") for inner in shape.members.values()} <= {None, "uri", "querystring"}
    assert {shape.type_name for shape in every_shape()} <= kinds


def test_hints_belong_to_shapes_of_the_model() -> None:
    assert set(hints.HINTS) <= set(service.model().shape_names)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "error",
    [
        ours.CallerError("c"),
        ours.NotFoundError("n"),
        ours.RetryError("r"),
        ours.BrokenError("b"),
        errors.WireError(errors.VALIDATION, "v"),
        RuntimeError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_only_declared_errors_leave(operation: str, error: Exception) -> None:
    code = errors.translated(operation, error).code

    only_not_found = operation == "CreateCliToken"  # declares nothing to say a failure of ours with
    assert code in service.declared_errors(operation) or (only_not_found and code == errors.INTERNAL)


@pytest.mark.parametrize("shape", [shape for shape in every_shape() if "error" in shape.metadata], ids=lambda s: s.name)
def test_botocore_reads_our_errors(shape: Shape) -> None:
    error = errors.WireError(shape.name, "a sentence", RestApiStatusCode=404, RestApiResponse={"detail": "x"})
    response = answers.failure(error, request_id="id")
    received = {"status_code": response.status_code, "headers": dict(response.headers)}
    received["body"] = bytes(response.body)
    anything = service.model().operation_model("GetEnvironment").output_shape
    assert anything is not None
    parsed = RestJSONParser().parse(received, anything) | RestJSONParser().parse(received, shape)

    assert parsed["Error"]["Code"] == shape.name
    assert response.status_code == shape.metadata["error"]["httpStatusCode"]
    if shape.name.startswith("RestApi"):
        assert (parsed["RestApiStatusCode"], parsed["RestApiResponse"]) == (404, {"detail": "x"})
    else:
        assert parsed["Error"]["Message"] == "a sentence"


@pytest.mark.parametrize("operation", OPERATIONS)
@given(body=JSON, query=st.text(max_size=50), label=st.text(alphabet="ab%/é1_-f", min_size=1, max_size=90))
def test_any_input_is_read_or_refused_with_a_declared_error(operation: str, body: Any, query: str, label: str) -> None:
    shape = service.model().operation_model(operation).input_shape
    assert isinstance(shape, StructureShape)
    match = routes.Match(
        service.model().operation_model(operation), {"Name": label, "ResourceArn": label, "EnvironmentName": label}
    )
    bodies = [body] + [{member: body} for member in shape.members] + [dict.fromkeys(shape.members, body)]
    for each in bodies:
        refused = refusal(match, query, json.dumps(each).encode())
        if refused:
            assert refused.code == errors.VALIDATION
            assert refused.message.isprintable()
            assert len(refused.message) < 10_000


@given(body=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    match = routes.Match(service.model().operation_model("CreateEnvironment"), {"Name": "demo"})
    with pytest.raises(errors.WireError) as error:
        requests.read(match, "", body, hints.HINTS)

    assert error.value.code == errors.VALIDATION


@given(secret=st.text(min_size=8).filter(lambda text: not re.fullmatch("[ -~]+", text)))
def test_sensitive_values_are_never_repeated(secret: str) -> None:
    walk = constraints.Walk(hints.HINTS)
    walk.read(service.model().shape_for("AirflowConfigurationOptions"), {"core.x": secret, secret: "x"}, "options")

    assert walk.sentences
    assert all(secret not in sentence for sentence in walk.sentences)


@given(
    value=st.floats() | st.integers() | st.text() | st.datetimes().map(datetime.isoformat),
)
def test_a_moment_is_read_or_refused(value: Any) -> None:
    walk = constraints.Walk({})
    moment = walk.read(service.model().shape_for("Timestamp"), value, "at")

    assert (moment is None) == bool(walk.sentences)
    assert moment is None or moment.tzinfo is not None


def test_violations_stop_somewhere() -> None:
    options, subnets = {f"a{'.' * n}!": "x" for n in range(5000)}, ["x"] * 5000
    for name, value in (("AirflowConfigurationOptions", options), ("Dimensions", subnets)):
        walk = constraints.Walk({})
        walk.read(service.model().shape_for(name), value, "given")

        assert len(walk.sentences) == constraints.MOST_VIOLATIONS


@pytest.mark.parametrize("shape", [each for each in every_shape() if "pattern" in each.metadata], ids=lambda s: s.name)
def test_every_pattern_of_the_model_compiles(shape: Shape) -> None:
    assert java_patterns.compiled(shape.metadata["pattern"])


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        (r"[\p{L}\p{N}_]+", "größeⅫ_٣", True),
        (r"\p{Lu}+", "ÀB", True),
        (r"\p{Lu}+", "àB", False),
        (r"\w+", "größe", False),
        (r"\d", "٣", False),
        (r".+", "a\u2028b", False),
        (r".+", "a\nb", False),
        (r"[.]", "x", False),
        (r"a\.b", "axb", False),
        (r"[a-z]+", "abc\n", False),
        (r"[\[\]]+\[", "][[", True),
    ],
)
def test_patterns_mean_what_java_means(pattern: str, value: str, fits: bool) -> None:  # noqa: FBT001 - a column of the table
    assert bool(java_patterns.compiled(pattern).fullmatch(value)) is fits


def test_times_leave_as_epoch_seconds_and_unknown_members_stay() -> None:
    shape = service.model().shape_for("LastUpdate")
    at = datetime(2026, 11, 23, 12, 0, 0, 500000, tzinfo=UTC)
    document = answers.serialised(shape, {"CreatedAt": at, "Status": "SUCCESS", "Error": None, "Colour": "red"})

    assert document == {"CreatedAt": 1795435200.5, "Status": "SUCCESS"}


@pytest.mark.parametrize(
    ("method", "path", "operation", "labels"),
    [
        ("PUT", "/environments/a%2Fb", "CreateEnvironment", {"Name": "a%2Fb"}),
        ("GET", "/environments", "ListEnvironments", {}),
        ("GET", "/tags/arn%3Aaws%2Fx", "ListTagsForResource", {"ResourceArn": "arn%3Aaws%2Fx"}),
        ("POST", "/metrics/environments/x", "PublishMetrics", {"EnvironmentName": "x"}),
    ],
)
def test_routes(method: str, path: str, operation: str, labels: dict[str, str]) -> None:
    match = routes.match(method, path)

    assert match is not None
    assert (match.operation.name, match.labels) == (operation, labels)


@given(method=st.sampled_from(["GET", "PUT", "POST", "x", ""]), path=st.text())
def test_any_path_is_routed_or_not(method: str, path: str) -> None:
    match = routes.match(method, path)

    assert match is None or match.operation.http["method"] == method
