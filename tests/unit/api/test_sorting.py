"""Whose a request is, and whether a browser may make it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api import browsers, credential_scope, front


@pytest.mark.parametrize(
    ("authorization", "query", "service"),
    [
        ("AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/airflow/aws4_request, Signature=0", "", "airflow"),
        ("AWS4-HMAC-SHA256 SignedHeaders=host,Credential=AK/20261123/us-east-1/s3/aws4_request", "", "s3"),
        ("AWS4-ECDSA-P256-SHA256 Credential=AK/20261123/s3/aws4_request, Signature=0", "", "s3"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/20261123/us-east-1/sts/aws4_request, Signature=0", "", "sts"),
        ("AWS4-HMAC-SHA256 Credential=AK/airflow", "", None),
        ("AWS AK:signature", "", None),
        ("Bearer Credential=AK/20261123/us-east-1/airflow/aws4_request", "", None),
        ("", "X-Amz-Credential=AK%2F20261123%2Fus-east-1%2Fairflow%2Faws4_request", "airflow"),
        ("", "a=1&X-Amz-Credential=AK/20261123/us-east-1/s3/aws4_request", "s3"),
        ("", "X-Amz-Credential=a&X-Amz-Credential=b", None),
        ("", "x=1", None),
    ],
)
def test_the_scope_names_the_service(authorization: str, query: str, service: str | None) -> None:
    assert credential_scope.service(authorization, query) == service


@given(authorization=st.text(), query=st.text())
def test_no_header_and_no_query_breaks_the_reader(authorization: str, query: str) -> None:
    credential_scope.service(f"AWS4-HMAC-SHA256 Credential={authorization}", f"X-Amz-Credential={query}")


@pytest.mark.parametrize(
    "authority", ["localhost", "LOCALHOST:1", "a.b.localhost.", "127.0.0.1:4560", "127.9.9.9", "[::1]:4560"]
)
def test_loopback(authority: str) -> None:
    assert browsers.is_loopback(authority)


@pytest.mark.parametrize(
    "authority",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "10.0.0.1",
        "[::2]",
        "[",
        "127.0.0.1.evil",
        "0.0.0.0",  # noqa: S104 - a host header, nothing is bound
    ],
)
def test_not_loopback(authority: str) -> None:
    assert not browsers.is_loopback(authority)


@given(authority=st.text())
def test_no_host_breaks_the_guard(authority: str) -> None:
    browsers.refusal({"origin": authority, "host": authority, "user-agent": "Mozilla/5.0"})


@pytest.mark.parametrize("host", ["api.airflow.us-east-1.amazonaws.com", "anything:80", "api.127.0.0.1:4560"])
def test_clients_that_are_no_browsers_may_use_any_host(host: str) -> None:
    assert browsers.refusal({"host": host, "user-agent": "Boto3/1.43"}) is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a%2Fb", "/a%2Fb"),
        ("http://host:1/a", "/a"),
        ("HTTPS://host", "/"),
        ("//a", "//a"),
        ("/x?u=http://y", "/x?u=http://y"),
        ("*", "*"),
        ("ftp://a/b", "ftp://a/b"),
    ],
)
def test_absolute_form_becomes_origin_form(target: str, path: str) -> None:
    assert front.origin_form(target) == path
