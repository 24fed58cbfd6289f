from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.emulator import rules


def refusal_of(path: str, query: str = "", headers: dict[str, str] | None = None) -> rules.EmulatorRefusal | None:
    return rules.refusal(path, query, headers or {}, domain="pages.localhost")


def signature(service: str) -> dict[str, str]:
    credential = f"AKIA/20261123/us-east-1/{service}/aws4_request"
    return {"authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"}


@pytest.mark.parametrize("path", ["/environments", "/environments/x", "/dags/whatever", "/"])
def test_mwaa_is_never_answered(path):
    refusal = refusal_of(path, "", signature("airflow"))
    assert refusal is not None
    assert refusal.status == 403
    assert "Aerodrome's own endpoint" in refusal.message


def test_mwaa_is_not_answered_to_a_presigned_request_either():
    query = "X-Amz-Credential=AKIA%2F20261123%2Fus-east-1%2Fairflow%2Faws4_request&X-Amz-Signature=0"
    assert refusal_of("/", query, {}) is not None


def test_mwaa_is_not_among_the_services():
    assert not {"airflow", "iam", "sts", "mwaa", "lambda", "ecs", "rds", "transfer", "iot", "codebuild"} & set(
        rules.SERVICES
    )


@pytest.mark.parametrize("path", ["/_ministack/reset", "/_ministack/config", "/_localstack/health", "/_aws/x", "//_x"])
def test_administration_is_refused(path):
    assert refusal_of(path, "", {}) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "https://0123abcd.pages.localhost:4562"},
        {"sec-fetch-site": "cross-site"},
        {"host": "evil.example", "user-agent": "Mozilla/5.0"},
    ],
)
def test_a_web_page_is_refused(headers):
    refusal = refusal_of("/bucket/key", "", headers)
    assert refusal is not None
    assert refusal.status == 403


def test_a_client_that_is_no_browser_passes_whatever_its_host():
    assert refusal_of("/key", "", {"host": "bucket.s3.amazonaws.com", "user-agent": "Boto3/1.43"}) is None


@pytest.mark.parametrize(
    ("method", "headers", "length"),
    [
        ("PUT", {"content-length": "17"}, 17),
        ("PUT", {"content-length": "x"}, 0),
        ("PUT", {"transfer-encoding": "chunked"}, rules.BODY_LIMIT),
        ("GET", {}, 0),
        ("POST", {}, 0),
    ],
)
def test_how_much_of_the_budget_a_body_takes(method, headers, length):
    assert rules.body_length(method, headers) == length


def test_a_body_that_would_fill_the_memory_is_refused():
    assert refusal_of("/b/k", "", {"content-length": str(rules.BODY_LIMIT)}) is None
    refusal = refusal_of("/b/k", "", {"content-length": str(rules.BODY_LIMIT + 1)})
    assert refusal is not None
    assert refusal.status == 413


@pytest.mark.parametrize("service", ["s3", "athena", "sqs", "glue"])
def test_what_the_emulator_is_for_passes(service):
    assert refusal_of("/bucket/environments/airflow", "", signature(service)) is None


@given(st.text(), st.text(), st.dictionaries(st.sampled_from(["authorization", "content-length"]), st.text()))
def test_nothing_that_a_client_sends_breaks_the_judgement(path, query, headers):
    refusal_of(path, query, headers)


def test_the_redshift_data_api_is_ours_by_signature_or_target():
    assert rules.is_for_redshift(signature("redshift-data"))
    assert rules.is_for_redshift({"x-amz-target": "RedshiftData.ExecuteStatement"})
    assert not rules.is_for_redshift({**signature("athena"), "x-amz-target": "AmazonAthena.StartQueryExecution"})
    assert "redshift-data" not in rules.SERVICES
    assert rules.signed_by(signature("s3")) == "AKIA"
    assert rules.signed_by({}) == ""


@pytest.mark.parametrize(
    ("method", "target", "changes"),
    [
        ("GET", "", False),
        ("HEAD", "", False),
        ("PUT", "", True),
        ("POST", "", True),
        ("POST", "AmazonAthena.GetQueryExecution", False),
        ("POST", "AWSGlue.BatchGetPartition", False),
        ("POST", "AWSGlue.CreateTable", True),
        ("POST", "DynamoDB_20120810.TransactWriteItems", True),
    ],
)
def test_which_requests_change_something(method, target, changes):
    assert rules.changes_state(method, {"x-amz-target": target} if target else {}) is changes
