"""Who may do what: every operation asks IAM first, by AWS's actions, resources and condition keys, and is audited."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from aerodrome.errors import CallerError
from aerodrome.model.audit import AuditKind
from aerodrome.model.lifecycle import Status
from aerodrome.operations import permissions
from protocol.api import raw
from protocol.api.memory import EVERYTHING

DEMO = "arn:aws:airflow:us-east-1:000000000000:environment/demo"
ADMIN = "arn:aws:iam::000000000000:user/admin"
NETWORK = {"SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
CALLS: dict[str, dict[str, Any]] = {
    "create_environment": {
        "Name": "demo",
        "ExecutionRoleArn": "arn:aws:iam::000000000000:role/demo",
        "SourceBucketArn": "arn:aws:s3:::demo-bucket",
        "DagS3Path": "dags",
        "NetworkConfiguration": NETWORK,
    },
    "get_environment": {"Name": "demo"},
    "list_environments": {},
    "update_environment": {"Name": "demo"},
    "delete_environment": {"Name": "demo"},
    "create_web_login_token": {"Name": "demo"},
    "create_cli_token": {"Name": "demo"},
    "invoke_rest_api": {"Name": "demo", "Path": "/dags", "Method": "GET"},
    "publish_metrics": {"EnvironmentName": "demo", "MetricData": []},
    "tag_resource": {"ResourceArn": DEMO, "Tags": {"a": "1"}},
    "untag_resource": {"ResourceArn": DEMO, "tagKeys": ["a"]},
    "list_tags_for_resource": {"ResourceArn": DEMO},
}


def allow(action: str | list[str], resource: str = "*", **condition: Any) -> dict[str, Any]:
    more = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def refusal(call: Any, **members: Any) -> str:
    """The sentence of the refusal of a call that IAM does not allow."""
    with pytest.raises(ClientError) as error:
        call(**members)
    answer = error.value.response
    assert answer["Error"]["Code"] == "AccessDeniedException", answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 403
    return str(answer["Error"]["Message"])


@pytest.fixture
def demo(mwaa: Any, behind: Any, creation: dict[str, Any]) -> Any:
    """The client, with an environment that is available."""
    mwaa.create_environment(**creation)
    behind.change("demo", status=Status.AVAILABLE)
    behind.audited.clear()
    return mwaa


def test_every_operation_is_in_these_tests(mwaa: Any) -> None:
    operations = {mwaa.meta.method_to_api_mapping[name] for name in CALLS}
    assert operations == set(permissions.TABLE)


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize("exists", [True, False])
def test_whoever_may_do_nothing_is_refused_the_same_way(
    mwaa: Any, behind: Any, creation: dict[str, Any], operation: str, *, exists: bool
) -> None:
    if exists:
        mwaa.create_environment(**creation)
        behind.change("demo", status=Status.AVAILABLE)
    behind.audited.clear()
    behind.grant()
    sentence = refusal(getattr(mwaa, operation), **CALLS[operation])

    action = f"airflow:{mwaa.meta.method_to_api_mapping[operation]}"
    [entry] = behind.audited
    assert sentence.startswith(f"User: {ADMIN} is not authorized to perform: {action} on resource: {entry.resource}")
    assert (entry.kind, entry.principal, entry.action, entry.allowed) == (AuditKind.API_REQUEST, ADMIN, action, False)
    assert entry.environment == (None if operation == "list_environments" else "demo")
    assert (entry.address, entry.detail["error"]) == ("127.0.0.1", "AccessDeniedException")
    assert behind.rest_calls == []
    assert behind.logins.issued == {}


@pytest.mark.parametrize("operation", CALLS)
def test_the_action_and_its_resource_are_enough(
    mwaa: Any, behind: Any, creation: dict[str, Any], operation: str
) -> None:
    if operation != "create_environment":
        mwaa.create_environment(**creation, Tags={"a": "1"})
        behind.change("demo", status=Status.AVAILABLE)
    name = mwaa.meta.method_to_api_mapping[operation]
    scope = permissions.TABLE[name].scope
    resources = {"*": "*", "environment/${EnvironmentName}": DEMO}
    resource = resources.get(scope, "arn:aws:airflow:us-east-1:000000000000:role/demo/Viewer")
    passing = [allow("iam:PassRole", "arn:aws:iam::000000000000:role/demo")] if "create" in operation else []
    behind.grant(allow(f"airflow:{name}", resource), *passing)
    behind.audited.clear()
    if operation == "publish_metrics":
        with pytest.raises(ClientError, match="no longer available"):
            getattr(mwaa, operation)(**CALLS[operation])
    else:
        getattr(mwaa, operation)(**CALLS[operation])

    [entry] = behind.audited
    assert (entry.allowed, entry.action, entry.resource) == (True, f"airflow:{name}", resource)


def test_tags_at_a_creation_need_the_right_to_tag(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    passing = allow("iam:PassRole", "*")
    behind.grant(allow("airflow:CreateEnvironment", DEMO), passing)

    sentence = refusal(mwaa.create_environment, **creation, Tags={"team": "data"})
    assert f"not authorized to perform: airflow:TagResource on resource: {DEMO} because" in sentence
    only = {"StringEquals": {"aws:RequestTag/team": "data"}}
    behind.grant(allow("airflow:CreateEnvironment", DEMO), allow("airflow:TagResource", DEMO, **only), passing)
    refusal(mwaa.create_environment, **creation, Tags={"team": "other"})
    mwaa.create_environment(**creation, Tags={"team": "data"})
    assert behind.audited[-1].action == "airflow:CreateEnvironment"


def test_the_environments_arn_is_not_enough_for_a_role(demo: Any, behind: Any) -> None:
    behind.grant(allow(["airflow:CreateWebLoginToken", "airflow:InvokeRestApi"], DEMO))

    refusal(demo.create_web_login_token, Name="demo")
    refusal(demo.invoke_rest_api, **CALLS["invoke_rest_api"])


def test_an_arn_of_elsewhere_is_judged_as_it_was_given(demo: Any, behind: Any) -> None:
    behind.grant(allow("airflow:ListTagsForResource", DEMO))
    foreign = DEMO.replace("000000000000", "999999999999")

    assert foreign in refusal(demo.list_tags_for_resource, ResourceArn=foreign)
    assert demo.list_tags_for_resource(ResourceArn=DEMO)["Tags"] == {}


def test_tags_of_the_resource_decide(demo: Any, behind: Any) -> None:
    behind.grant(allow("airflow:*", "*", StringEquals={"aws:ResourceTag/team": "data"}))

    refusal(demo.get_environment, Name="demo")
    refusal(demo.get_environment, Name="absent")
    behind.change("demo", tags={"Team": "data"})
    assert demo.get_environment(Name="demo")["Environment"]["Name"] == "demo"


def test_tags_of_the_request_decide(demo: Any, behind: Any) -> None:
    only = {"StringEquals": {"aws:RequestTag/team": "data"}, "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}
    behind.grant(allow("airflow:TagResource", DEMO, **only))

    demo.tag_resource(ResourceArn=DEMO, Tags={"team": "data"})
    refusal(demo.tag_resource, ResourceArn=DEMO, Tags={"team": "other"})
    refusal(demo.tag_resource, ResourceArn=DEMO, Tags={"team": "data", "more": "1"})
    refusal(demo.tag_resource, ResourceArn=DEMO, Tags={"more": "1"})
    behind.grant(allow("airflow:UntagResource", DEMO, **{"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}))
    demo.untag_resource(ResourceArn=DEMO, tagKeys=["a"])
    refusal(demo.untag_resource, ResourceArn=DEMO, tagKeys=["team"])


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, False),
        ({"StringLike": {"aws:username": "adm*"}}, True),
        ({"ArnEquals": {"aws:PrincipalArn": ADMIN}}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, False),
    ],
)
def test_global_keys_are_known(mwaa: Any, behind: Any, condition: dict[str, Any], *, allowed: bool) -> None:
    behind.grant(allow("airflow:ListEnvironments", **condition))
    if allowed:
        assert mwaa.list_environments()["Environments"] == []
    else:
        refusal(mwaa.list_environments)


def test_an_explicit_deny_is_told_as_such(mwaa: Any, behind: Any) -> None:
    behind.grant(EVERYTHING, {"Effect": "Deny", "Action": "airflow:List*", "Resource": "*"})

    assert "with an explicit deny" in refusal(mwaa.list_environments)


def test_a_role_must_be_passed_to_mwaa(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    role = creation["ExecutionRoleArn"]
    behind.grant(allow("airflow:*"))
    sentence = refusal(mwaa.create_environment, **creation)
    assert f"is not authorized to perform: iam:PassRole on resource: {role}" in sentence
    assert behind.audited[-1].action == "iam:PassRole"

    behind.grant(
        allow("airflow:*"), allow("iam:PassRole", role, StringEquals={"iam:PassedToService": "ec2.amazonaws.com"})
    )
    refusal(mwaa.create_environment, **creation)
    assert behind.environments.rows == {}
    assert behind.preflight.buckets_checked == []

    behind.grant(
        allow("airflow:*"), allow("iam:PassRole", role, StringLike={"iam:PassedToService": "airflow.amazonaws.com"})
    )
    mwaa.create_environment(**creation)


def test_an_update_passes_a_role_only_when_it_names_one(demo: Any, behind: Any) -> None:
    behind.grant(allow("airflow:*"))

    assert "iam:PassRole" in refusal(
        demo.update_environment, Name="demo", ExecutionRoleArn="arn:aws:iam::000000000000:role/x"
    )
    demo.update_environment(Name="demo")


def test_a_role_that_mwaa_cannot_assume_is_refused(mwaa: Any, behind: Any, creation: dict[str, Any]) -> None:
    behind.preflight.role_problem = CallerError("Failed to assume role x.")
    with pytest.raises(ClientError, match="Failed to assume role") as error:
        mwaa.create_environment(**creation)

    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert behind.environments.rows == {}


def test_what_iam_allows_and_fails_later_is_an_allowed_entry_with_its_error(mwaa: Any, behind: Any) -> None:
    with pytest.raises(ClientError):
        mwaa.get_environment(Name="absent")

    [entry] = behind.audited
    assert (entry.allowed, entry.detail["error"]) == (True, "ResourceNotFoundException")
    assert entry.detail["access_key_id"] == raw.ADMIN.access_key_id


def test_secrets_of_a_request_are_not_in_the_log(demo: Any, behind: Any) -> None:
    demo.invoke_rest_api(
        Name="demo", Path="/variables?token=geheim", Method="POST", Body={"key": "k", "value": "geheim"}
    )

    [entry] = behind.audited
    assert (entry.detail["method"], entry.detail["path"], entry.detail["role"]) == ("POST", "/variables", "Admin")
    assert "geheim" not in str(entry)


def test_a_malformed_input_is_told_to_those_who_sign_only(careless: Any, behind: Any) -> None:
    behind.grant()
    with pytest.raises(ClientError) as error:
        careless.get_environment(Name="1st")

    assert error.value.response["Error"]["Code"] == "ValidationException"
    assert behind.audited[-1].allowed is False
