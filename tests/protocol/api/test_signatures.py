"""Only requests that a known principal signed are answered; here are forged, changed, old and otherwise signed ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from protocol.api import raw
from protocol.api.memory import Key

BODY = json.dumps({"Tags": {"a": "1"}}).encode()
TARGET = "/tags/arn%3Aaws%3Aairflow%3Aus-east-1%3A000000000000%3Aenvironment%2Fdemo"


@pytest.fixture
def host(port: int) -> str:
    return f"127.0.0.1:{port}"


@pytest.fixture
def tagging(mwaa: Any, behind: Any, creation: dict[str, Any], host: str) -> dict[str, str]:
    """The headers of a good request that adds a tag to `demo`."""
    mwaa.create_environment(**creation)
    behind.audited.clear()
    return raw.signed("POST", TARGET, BODY, {"Host": host, "Content-Type": "application/json"})


def refused(answer: raw.Answer, code: str, status: int = 403) -> None:
    assert (answer.status, answer.error) == (status, code), answer.body
    assert set(answer.json) == {"message"}


def test_the_good_request_is_answered(port: int, tagging: dict[str, str], behind: Any) -> None:
    assert raw.exchange(port, "POST", TARGET, BODY, tagging).status == 200
    assert behind.environments.rows["demo"].tags == {"a": "1"}


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("DELETE", TARGET + "?tagKeys=a", BODY),
        ("POST", TARGET + "?x=1", BODY),
        ("POST", TARGET.replace("demo", "other"), BODY),
        ("POST", TARGET.replace("%2F", "%2f"), BODY),
        ("POST", TARGET.replace("demo", "d%65mo"), BODY),
        ("POST", TARGET, BODY.replace(b"1", b"2")),
        ("POST", TARGET, BODY + b" "),
        ("POST", TARGET, b""),
    ],
)
def test_an_altered_line_or_body(
    port: int, tagging: dict[str, str], behind: Any, method: str, target: str, body: bytes
) -> None:
    refused(raw.exchange(port, method, target, body, tagging), "SignatureDoesNotMatch")
    assert behind.environments.rows["demo"].tags == {}
    [entry] = behind.audited
    assert (entry.allowed, entry.principal, entry.detail["access_key_id"]) == (False, None, raw.ADMIN.access_key_id)
    assert tagging["Authorization"].rpartition("=")[2] not in str(entry)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "127.0.0.1:1"),
        ("Content-Type", "text/plain"),
        ("X-Amz-Date", "20261123T120000Z"),
        ("X-Amz-Security-Token", "made-up"),
        ("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
        ("X-Amz-Content-Sha256", "0" * 64),
        ("X-Amz-Target", "anything"),
    ],
)
def test_an_altered_header(port: int, tagging: dict[str, str], behind: Any, header: str, value: str) -> None:
    answer = raw.exchange(port, "POST", TARGET, BODY, {**tagging, header: value})

    assert answer.status in {400, 403}
    assert answer.error in {
        "SignatureDoesNotMatch",
        "RequestExpired",
        "UnrecognizedClientException",
        "IncompleteSignatureException",
    }
    assert behind.environments.rows["demo"].tags == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "aws4-hmac-sha256"),
        ("host;", ""),
        ("x-amz-date", "x-amz-dat"),
        ("us-east-1", "eu-west-1"),
        ("Signature=", "Signature=0"),
        ("Signature=", "Signature=,X="),
        ("Signature=", "Signature=é"),
        ("SignedHeaders=", "SignedHeaders=a;"),
        ("aws4_request", "aws4_requests"),
        (raw.ADMIN.access_key_id, "AKIA0000000000000000"),
        (raw.ADMIN.access_key_id, ""),
        ("Credential=", "Credential=x/"),
    ],
)
def test_an_altered_authorization(port: int, tagging: dict[str, str], behind: Any, old: str, new: str) -> None:
    authorization = tagging["Authorization"].replace(old, new)
    assert authorization != tagging["Authorization"]
    answer = raw.exchange(port, "POST", TARGET, BODY, {**tagging, "Authorization": authorization.encode()})

    assert answer.status in {400, 403, 404, 421}
    assert "message" in answer.json or answer.status == 421
    assert behind.environments.rows["demo"].tags == {}


def test_a_signature_for_another_service_is_not_ours(port: int, host: str) -> None:
    headers = raw.signed("GET", "/environments", None, {"Host": host}, service="s3")
    answer = raw.exchange(port, "GET", "/environments", None, headers)

    assert answer.status == 421  # passed on to AWS, which the tests have not


def test_two_authorizations(port: int, tagging: dict[str, str]) -> None:
    line = "\r\n".join(f"{name}: {value}" for name, value in tagging.items())
    forged = f"Authorization: {raw.signature('airflow')}"
    for lines in (f"{forged}\r\n{line}", f"{line}\r\n{forged}"):
        head = f"POST {TARGET} HTTP/1.1\r\n{lines}\r\nContent-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
        answer = raw.send(port, head.encode() + BODY)
        assert answer.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("minutes", [-16, 16, -60 * 24 * 365])
def test_an_old_request_and_one_from_the_future(port: int, host: str, minutes: int, behind: Any) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    headers = raw.signed("GET", "/environments", None, {"Host": host}, at=at)

    refused(raw.exchange(port, "GET", "/environments", None, headers), "RequestExpired", 400)
    assert behind.audited[-1].detail["error"] == "RequestExpired"


@pytest.mark.parametrize("minutes", [-14, 14])
def test_clocks_may_differ_a_little(port: int, host: str, minutes: int) -> None:
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    headers = raw.signed("GET", "/environments", None, {"Host": host}, at=at)

    assert raw.exchange(port, "GET", "/environments", None, headers).status == 200


def test_a_presigned_request(port: int, host: str) -> None:
    target = raw.presigned("GET", "/environments?MaxResults=1", host)

    assert raw.exchange(port, "GET", target, None, {"Host": host}).json == {"Environments": []}
    refused(raw.exchange(port, "GET", target + "&NextToken=x", None, {"Host": host}), "SignatureDoesNotMatch")
    refused(raw.exchange(port, "DELETE", target, None, {"Host": host}), "SignatureDoesNotMatch")
    refused(raw.exchange(port, "GET", target, b"{}", {"Host": host}), "SignatureDoesNotMatch")
    twice = raw.signed("GET", "/environments", None, {"Host": host})
    refused(raw.exchange(port, "GET", target, None, twice), "IncompleteSignatureException", 400)


def test_the_wrong_secret_and_the_unknown_key(port: int, host: str, client_of: Callable[..., Any]) -> None:
    wrong = raw.signed("GET", "/environments", None, {"Host": host}, key=Key(raw.ADMIN.access_key_id, "guessed"))
    unknown = raw.signed("GET", "/environments", None, {"Host": host}, key=Key("AKIANOBODY0000000000", "any"))
    made_up = raw.signed("GET", "/environments", None, {"Host": host}, key=Key("ASIANOBODY0000000000", "x"), token="t")

    refused(raw.exchange(port, "GET", "/environments", None, wrong), "SignatureDoesNotMatch")
    refused(raw.exchange(port, "GET", "/environments", None, unknown), "UnrecognizedClientException")
    refused(raw.exchange(port, "GET", "/environments", None, made_up), "UnrecognizedClientException")
    del client_of


def test_boto3_understands_the_refusal(mwaa: Any, behind: Any) -> None:
    behind.identity.keys.clear()
    with pytest.raises(ClientError) as error:
        mwaa.list_environments()

    assert error.value.response["Error"] == {
        "Code": "UnrecognizedClientException",
        "Message": "The security token included in the request is invalid.",
    }
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_user_who_was_removed_is_nobody(mwaa: Any, behind: Any) -> None:
    behind.identity.grants.clear()
    with pytest.raises(ClientError) as error:
        mwaa.list_environments()

    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize(
    "target", ["/environments/../environments", "/x/../environments", "//environments", "/./environments"]
)
def test_paths_that_are_signed_in_normal_form_lead_nowhere(port: int, target: str) -> None:
    answer = raw.ask(port, "GET", target)

    assert (answer.status, answer.error) == (404, "UnknownOperationException")


def test_those_who_cannot_sign_learn_nothing_of_paths(port: int) -> None:
    for target in ("/environments", "/environments/demo", "/environments/a/b/c"):
        refused(raw.exchange(port, "GET", target, None, {}), "MissingAuthenticationTokenException")
        refused(
            raw.exchange(port, "GET", target, None, {"Authorization": raw.signature("airflow")}),
            "IncompleteSignatureException",
            400,
        )


def test_a_client_cannot_say_where_it_comes_from(port: int, behind: Any) -> None:
    behind.grant(
        {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    )
    headers = {"X_Forwarded_For": "10.0.0.1", "Forwarded": "for=10.0.0.1", "X_Real_Ip": "10.0.0.1"}
    answer = raw.ask(port, "GET", "/environments", **headers)

    assert (answer.status, answer.error) == (403, "AccessDeniedException")
    assert behind.audited[-1].address == "127.0.0.1"


def test_ten_megabytes_from_somebody_unknown(port: int, behind: Any) -> None:
    answer = raw.exchange(
        port, "PUT", "/environments/demo", b"x" * 10_000_000, {"Authorization": raw.signature("airflow")}
    )

    assert answer.status in {400, 403}
    assert behind.environments.rows == {}
