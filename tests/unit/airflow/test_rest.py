"""InvokeRestApi's parameters and Airflow's answers."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.airflow import rest, versions
from aerodrome.errors import CallerError

V3 = versions.lookup("3.3.1")


@pytest.fixture(params=[number for number, version in versions.OFFERED.items() if version.adapter.REST_PREFIX])
def version(request):
    """Each offered version that has a REST API."""
    return versions.lookup(request.param)


def test_the_prefix_is_the_lines(version):
    request = rest.request(version, path="/dags", method="GET")
    assert request.target == f"{version.adapter.REST_PREFIX}/dags"
    assert request.body is None


def test_query_and_body(version):
    query = {"limit": 5, "tags": ["a b", "c"], "only_active": True}
    request = rest.request(version, path="/dags/x/dagRuns", method="POST", query=query, body={"conf": {}})
    assert request.target.endswith("/dags/x/dagRuns?limit=5&tags=a+b&tags=c&only_active=true")
    assert request.body == b'{"conf":{}}'
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "dags", "", "//dags", "/dags//x", "/../ui", "/dags/../../ui", "/./dags", "/dags/..", "/%2e%2e/ui", "/dags%2f..",
        "/%252e%252e/ui", "/dags\\..", "/dags?x=1", "/dags#x", "/da gs",
        "/dags\r\nHost: x", "/dags\x00", "/%00", "/%zz",
        "/%5c..", "http://evil/dags", "/dags/é",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_api_is_the_callers_error(version, path):
    with pytest.raises(CallerError, match="Path"):
        rest.request(version, path=path, method="GET")


@pytest.mark.parametrize(
    "path",
    ["/dags", "/dags/my.dag-1_x~2", "/dags/x/dagRuns/manual__2024-01-01T00:00:00+00:00", "/dags/a%20b", "/dags/"],
)
def test_the_paths_of_the_api_pass(version, path):
    assert rest.request(version, path=path, method="GET").target.endswith(path)


@given(st.text(max_size=30))
def test_whatever_passes_stays_below_the_prefix(path):
    try:
        target = rest.request(V3, path=path, method="GET").target
    except CallerError:
        return
    assert target.startswith("/api/v2/")
    assert not {".", ".."} & set(unquote(target).split("/"))
    assert "?" not in target
    assert target.isascii()
    assert target.isprintable()


@pytest.mark.parametrize("method", ["HEAD", "get", "CONNECT", ""])
def test_other_methods_are_the_callers_error(version, method):
    with pytest.raises(CallerError, match="Method"):
        rest.request(version, path="/dags", method=method)


@pytest.mark.parametrize("query", [[1], "x=1", {"a": {"b": 1}}, {"a": None}])
def test_a_query_that_is_no_flat_object_is_the_callers_error(version, query):
    with pytest.raises(CallerError, match="QueryParameters"):
        rest.request(version, path="/dags", method="GET", query=query)


def test_an_empty_answer_is_an_empty_document():
    assert rest.document(204, b"") == (204, {})


def test_an_answer_is_its_document():
    assert rest.document(404, json.dumps({"detail": "x"}).encode()) == (404, {"detail": "x"})


def test_a_page_in_place_of_a_document_is_airflows_failure():
    assert rest.document(200, b"<html>")[0] == 502
    assert rest.document(503, b"<html>")[0] == 503


def test_an_answer_beyond_the_quota_is_airflows_failure():
    assert rest.document(200, b'"' + b"x" * rest.RESPONSE_LIMIT + b'"')[0] == 502


@pytest.mark.parametrize(
    "body",
    ["NaN", '{"a": [Infinity]}', "1e999", "[" * 200 + "]" * 200, "[" * 100_000, f"[{'[],' * 2**20}0]", "9" * 9999],
)
def test_an_answer_that_cannot_be_read_or_sent_on_is_airflows_failure(body):
    status, told = rest.document(200, body.encode())
    assert status == 502
    assert json.loads(json.dumps(told, allow_nan=False))["title"]


def test_airflow_1_has_no_rest_api():
    with pytest.raises(CallerError, match=r"Airflow 1\.10\.15 has no REST API .* command line"):
        rest.request(versions.lookup("1.10.15"), path="/dags", method="GET")
