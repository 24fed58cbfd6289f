"""Which service a request is for, and whether a browser may send it."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader
from hypothesis import given
from hypothesis import strategies as st

from aerodrome import browsers
from aerodrome.api import credential_scope, front, unsigned


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


DOMAIN = "us-east-1.airflow.localhost"


@given(authority=st.text())
def test_no_host_breaks_the_guard(authority: str) -> None:
    browsers.refusal({"origin": authority, "host": authority, "user-agent": "Mozilla/5.0"}, domain=DOMAIN)


@pytest.mark.parametrize("host", ["api.airflow.us-east-1.amazonaws.com", "anything:80", "api.127.0.0.1:4560"])
def test_clients_that_are_no_browsers_may_use_any_host(host: str) -> None:
    assert browsers.refusal({"host": host, "user-agent": "Boto3/1.43"}, domain=DOMAIN) is None


@pytest.mark.parametrize(
    ("origin", "refused"),
    [
        ("http://localhost:3000", False),
        ("http://tool.localhost", False),
        (f"https://0123abcd.{DOMAIN}:4563", True),
        (f"https://{DOMAIN.upper()}", True),
        ("https://evil.example", True),
    ],
)
def test_pages_of_environments_are_strangers_too(origin: str, refused: bool) -> None:  # noqa: FBT001 - a column
    assert (browsers.refusal({"origin": origin, "host": "localhost:4560"}, domain=DOMAIN) is not None) is refused


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


def test_versions_are_those_of_the_models() -> None:
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    for version, name in unsigned.VERSIONS.items():
        assert loader.load_service_model(name, "service-2")["metadata"]["apiVersion"] == version


@given(form=st.text() | st.text(alphabet="Version=2011-06-15&%Action+;", max_size=60))
def test_no_form_breaks_the_reader(form: str) -> None:
    assert unsigned.service(form) in {None, "iam", "sts"}
    assert unsigned.service(f"{form}&Version=2011-06-15&Version=2011-06-15") == "sts"
