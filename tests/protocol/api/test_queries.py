"""IAM and STS behind the front door: who signed, in the words of the query protocol, and what the audit log gets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from protocol.api import raw
from protocol.api.memory import Key

ADMIN = "arn:aws:iam::000000000000:user/admin"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
IDENTITY = b"Action=GetCallerIdentity&Version=2011-06-15"


@pytest.fixture
def sts(port: int, client_of: Callable[..., Any]) -> Any:
    return client_of("sts", f"http://127.0.0.1:{port}")


@pytest.fixture
def iam(port: int, client_of: Callable[..., Any]) -> Any:
    return client_of("iam", f"http://127.0.0.1:{port}")


@pytest.fixture
def host(port: int) -> str:
    return f"127.0.0.1:{port}"


def signed(host: str, **more: Any) -> dict[str, str]:
    return raw.signed("POST", "/", IDENTITY, {"Host": host, "Content-Type": FORM}, service="sts", **more)


def refused(answer: raw.Answer, code: str, status: int = 403) -> None:
    assert answer.status == status, answer.body
    assert f"<Code>{code}</Code>".encode() in answer.body
    assert answer.body.startswith(b"<ErrorResponse")


def test_whoever_signs_is_known_and_audited(sts: Any, behind: Any) -> None:
    assert sts.get_caller_identity()["Arn"] == ADMIN
    [entry] = behind.audited
    assert (entry.principal, entry.action, entry.allowed) == (ADMIN, "sts:GetCallerIdentity", True)
    assert entry.detail["access_key_id"] == raw.ADMIN.access_key_id


def test_iam_is_asked_about_iam(iam: Any, behind: Any) -> None:
    assert iam.list_users()["Users"] == []
    behind.grant({"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"})
    with pytest.raises(ClientError, match="is not authorized to perform: iam:ListUsers") as error:
        iam.list_users()

    assert error.value.response["Error"]["Code"] == "AccessDenied"
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert [(entry.action, entry.allowed) for entry in behind.audited] == [
        ("iam:ListUsers", True),
        ("iam:ListUsers", False),
    ]


def test_forgeries_are_refused_in_the_protocols_words(port: int, host: str, behind: Any) -> None:
    good = signed(host)
    assert raw.exchange(port, "POST", "/", IDENTITY, good).status == 200
    refused(raw.exchange(port, "POST", "/", IDENTITY + b"&x=1", good), "SignatureDoesNotMatch")
    refused(raw.exchange(port, "POST", "/?x=1", IDENTITY, good), "SignatureDoesNotMatch")
    wrong = signed(host, key=Key(raw.ADMIN.access_key_id, "guessed"))
    refused(raw.exchange(port, "POST", "/", IDENTITY, wrong), "SignatureDoesNotMatch")
    refused(raw.exchange(port, "POST", "/", IDENTITY, signed(host, key=Key("AKIANOBODY", "x"))), "InvalidClientTokenId")
    old = signed(host, at=datetime.now(UTC) - timedelta(hours=1))
    refused(raw.exchange(port, "POST", "/", IDENTITY, old), "RequestExpired", 400)
    only_scope = {"Authorization": raw.signature("sts"), "Content-Type": FORM}
    refused(raw.exchange(port, "POST", "/", IDENTITY, only_scope), "IncompleteSignature", 400)

    failures = behind.audited[1:]
    assert [entry.principal for entry in failures] == [None] * 6
    assert not any(entry.allowed for entry in failures)
    assert all("guessed" not in str(entry) and "secret of admin" not in str(entry) for entry in failures)


@pytest.mark.parametrize(
    "body", [b"Action=CreateUser&Version=2010-05-08&UserName=x", IDENTITY, b"Version=2011-06-15", b"Version=2010-05-08"]
)
def test_without_a_signature_nothing_is_done(port: int, behind: Any, body: bytes) -> None:
    answer = raw.exchange(port, "POST", "/", body, {"Content-Type": FORM})

    assert answer.status in {400, 403}
    assert answer.body.startswith(b"<ErrorResponse")
    [entry] = behind.audited
    assert (entry.principal, entry.allowed) == (None, False)


def test_ten_megabytes_are_refused(port: int, host: str) -> None:
    body = b"Action=GetCallerIdentity&Version=2011-06-15&x=" + b"y" * 10_000_000
    headers = raw.signed("POST", "/", body, {"Host": host, "Content-Type": FORM}, service="sts")

    refused(raw.exchange(port, "POST", "/", body, headers), "ValidationError", 400)
