"""Who assumes the role, where, and what is made of the answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from aerodrome.errors import BrokenError
from aerodrome.sidecar import assume_role, config, process, signed_http
from aerodrome.sidecar.signed_http import AwayError, RefusalError

ANSWER = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>the-secret</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2026-11-23T13:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""

SETTINGS = config.parse(
    {
        "environment": "blue",
        "region": "eu-central-1",
        "bucket": "b",
        "dag_prefix": "dags",
        "dags_dir": "/d",
        "role_arn": "arn",
        "session_name": "s",
        "credentials_port": 1,
        "credentials_token_file": "/t",
        "status_file": "/s",
    }
)


def test_the_answer_becomes_credentials():
    found = assume_role._parsed(ANSWER, "arn")
    assert found.keys == config.AccessKeys("ASIA1", "the-secret", "t")
    assert found.expiration == datetime(2026, 11, 23, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "document", [b"", b"<a/>", ANSWER[:-5], ANSWER.replace(b"Expiration", b"X"), ANSWER.replace(b"2026", b"soon")]
)
def test_what_is_no_answer_is_an_absence_that_tells_no_secret(document):
    with pytest.raises(AwayError) as caught:
        assume_role._parsed(document, "arn")
    assert "the-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_ambient_chain_is_botocores(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    assert assume_role.ambient()() == config.AccessKeys("AKIA1", "the-secret", None)


def test_without_ambient_credentials_a_person_must_act(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(BrokenError, match="no AWS credentials"):
        assume_role.ambient()()


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("http://127.0.0.1:4561", "eu-central-1", "http://127.0.0.1:4561"),
        (None, "eu-central-1", "https://s3.eu-central-1.amazonaws.com"),
        (None, "cn-north-1", "https://s3.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_service_is_at_the_configured_endpoint_or_at_the_real_one(endpoint, region, expected):
    assert process._url(replace(SETTINGS, aws_endpoint_url=endpoint, region=region), "s3") == expected


@pytest.mark.parametrize(
    ("status", "kind"), [(301, RefusalError), (403, RefusalError), (429, AwayError), (503, AwayError)]
)
def test_an_answer_that_is_no_success_says_who_must_act(status, kind):
    document = b"<Error><Code>TheCode</Code><Message>The sentence.</Message></Error>"
    error = signed_http.AwsEndpoint("http://x", region="r", service="s3")._refused(status, document)
    assert isinstance(error, kind)
    assert str(error) == f"s3 answers {status} TheCode: The sentence."


def test_an_answer_without_a_document_still_has_a_code():
    error = signed_http.AwsEndpoint("http://x", region="r", service="s3")._refused(404, b"")
    assert error.code == "404"


def test_a_refusal_names_the_statement_that_the_role_lacks():
    sentence = (
        b"User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: s3:ListBucket on resource: "
        b"arn:aws:s3:::b because no identity-based policy allows the s3:ListBucket action"
    )
    document = b"<Error><Code>AccessDenied</Code><Message>" + sentence + b"</Message></Error>"
    error = signed_http.AwsEndpoint("http://x", region="r", service="s3")._refused(403, document)
    assert '{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}' in str(error)
    trust = signed_http.AwsEndpoint("http://x", region="r", service="sts")._refused(403, document)
    assert "Effect" not in str(trust)
