"""IAM decides about its own operations, and says what it would decide."""

from __future__ import annotations

import pytest
from botocore import xform_name

from aerodrome.api.iam import permissions
from aerodrome.api.iam import table as iam_table
from aerodrome.api.query import models
from aerodrome.api.sts import table as sts_table
from protocol.iam.refusals import refused
from protocol.iam.world import ACCOUNT, policy, trust

ADA = "arn:aws:iam::000000000000:user/ada"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonMWAAReadOnlyAccess"


def test_who_may_nothing_is_told_so_in_awss_words(client, person, world):
    ada = client("iam", person("ada"))
    words = (
        f"User: {ADA} is not authorized to perform: iam:CreateUser on resource: "
        "arn:aws:iam::000000000000:user/team/eve because no identity-based policy allows the iam:CreateUser action"
    )
    with refused("AccessDenied", words, status=403):
        ada.create_user(UserName="eve", Path="/team/")
    answer = world.answers[-1]
    assert (answer.action, answer.allowed, answer.error) == ("iam:CreateUser", False, "AccessDenied")
    assert answer.resource == "arn:aws:iam::000000000000:user/team/eve"
    assert "No identity-based policy" in answer.sentence


def test_an_explicit_deny_wins(iam, client, person):
    key = person("ada", "iam:*")
    iam.put_user_policy(UserName="ada", PolicyName="no", PolicyDocument=policy("iam:ListUsers", effect="Deny"))
    with refused("AccessDenied", "with an explicit deny in an identity-based policy"):
        client("iam", key).list_users()


def test_a_boundary_limits_what_policies_allow(iam, client, person):
    key = person("ada", "iam:*")
    iam.put_user_permissions_boundary(UserName="ada", PermissionsBoundary=READ_ONLY)
    with refused("AccessDenied", "permissions boundary"):
        client("iam", key).list_users()


def test_a_refusal_is_the_same_whether_or_not_it_exists(client, person):
    key = person("ada")
    ada = client("iam", key)
    for name in ("admin", "nobody"):
        with refused("AccessDenied", f"user/{name} because"):
            ada.get_user(UserName=name)


def test_resources_carry_the_path_of_what_exists(iam, client, person):
    iam.create_user(UserName="eve", Path="/team/")
    key = person("ada", "iam:GetUser", "arn:aws:iam::*:user/team/*")
    assert client("iam", key).get_user(UserName="eve")["User"]["UserName"] == "eve"
    with refused("AccessDenied"):
        client("iam", key).get_user(UserName="admin")


def test_renaming_needs_permission_on_both_names(iam, client, person):
    iam.create_user(UserName="eve")
    ada = client("iam", person("ada", "iam:UpdateUser", "arn:aws:iam::*:user/eve"))
    with refused("AccessDenied", "user/admin2"):
        ada.update_user(UserName="eve", NewUserName="admin2")


@pytest.mark.parametrize(
    ("condition", "allowed"),
    [
        ({"ArnEquals": {"iam:PolicyARN": READ_ONLY}}, True),
        ({"ArnEquals": {"iam:PolicyARN": "arn:aws:iam::aws:policy/Other"}}, False),
        ({"StringEquals": {"aws:ResourceTag/team": "data"}}, True),
        ({"StringEquals": {"iam:ResourceTag/team": "other"}}, False),
        ({"Null": {"iam:PermissionsBoundary": "true"}}, True),
        ({"StringEquals": {"aws:username": "ada"}}, True),
    ],
)
def test_conditions_of_iam(iam, client, person, condition, allowed):
    iam.create_user(UserName="eve", Tags=[{"Key": "team", "Value": "data"}])
    ada = client("iam", person("ada", "iam:AttachUserPolicy", Condition=condition))
    if allowed:
        ada.attach_user_policy(UserName="eve", PolicyArn=READ_ONLY)
    else:
        with refused("AccessDenied"):
            ada.attach_user_policy(UserName="eve", PolicyArn=READ_ONLY)


@pytest.mark.parametrize(
    ("operation", "tagging", "given"),
    [
        ("CreateUser", "iam:TagUser", {"UserName": "eve"}),
        ("CreateRole", "iam:TagRole", {"RoleName": "eve", "AssumeRolePolicyDocument": trust({"AWS": ADA})}),
        ("CreatePolicy", "iam:TagPolicy", {"PolicyName": "eve", "PolicyDocument": policy("s3:*")}),
        (
            "CreateOpenIDConnectProvider",
            "iam:TagOpenIDConnectProvider",
            {"Url": "https://issuer.example", "ClientIDList": ["a"]},
        ),
    ],
)
def test_tags_at_a_creation_need_the_right_to_tag(iam, client, person, world, operation, tagging, given):
    tags = {"Tags": [{"Key": "team", "Value": "data"}]}
    ada = client("iam", person("ada", f"iam:{operation}"))
    create = getattr(ada, xform_name(operation))
    with refused("AccessDenied", f"not authorized to perform: {tagging}"):
        create(**given, **tags)
    assert (world.answers[-1].action, world.answers[-1].allowed) == (tagging, False)
    iam.put_user_policy(UserName="ada", PolicyName="tag", PolicyDocument=policy(tagging))
    create(**given, **tags)


def test_every_creation_that_takes_tags_is_among_them():
    taking = {
        name
        for name in iam_table.OPERATIONS
        if name.startswith("Create") and "Tags" in models.operation("iam", name).input_shape.members
    }
    assert taking == set(permissions.TAGGING)


def test_users_can_be_made_within_a_boundary_only(client, person):
    condition = {"StringEquals": {"iam:PermissionsBoundary": READ_ONLY, "aws:RequestTag/team": "data"}}
    ada = client("iam", person("ada", ["iam:CreateUser", "iam:TagUser"], Condition=condition))
    tags = [{"Key": "team", "Value": "data"}]
    ada.create_user(UserName="eve", PermissionsBoundary=READ_ONLY, Tags=tags)
    with refused("AccessDenied"):
        ada.create_user(UserName="mallory", Tags=tags)
    with refused("AccessDenied"):
        ada.create_user(UserName="mallory", PermissionsBoundary=READ_ONLY)


def test_policies_of_a_user_are_simulated(iam, person):
    person("ada", ["airflow:Get*", "iam:CreateUser"])
    iam.put_user_policy(UserName="ada", PolicyName="no", PolicyDocument=policy("airflow:GetX", effect="Deny"))
    iam.put_user_permissions_boundary(UserName="ada", PermissionsBoundary=READ_ONLY)
    answer = iam.simulate_principal_policy(
        PolicySourceArn=ADA,
        ActionNames=["airflow:GetEnvironment", "airflow:GetX", "airflow:DeleteEnvironment", "iam:CreateUser"],
    )
    found = {each["EvalActionName"]: each for each in answer["EvaluationResults"]}
    assert {name: each["EvalDecision"] for name, each in found.items()} == {
        "airflow:GetEnvironment": "allowed",
        "airflow:GetX": "explicitDeny",
        "airflow:DeleteEnvironment": "implicitDeny",
        "iam:CreateUser": "implicitDeny",
    }
    bounded = {name: each["PermissionsBoundaryDecisionDetail"] for name, each in found.items()}
    assert bounded["airflow:GetEnvironment"] == {"AllowedByPermissionsBoundary": True}
    assert bounded["iam:CreateUser"] == {"AllowedByPermissionsBoundary": False}
    matched = found["airflow:GetX"]["MatchedStatements"]
    assert {"SourcePolicyId": "no", "SourcePolicyType": "user"} in matched


def test_a_simulation_says_what_the_real_thing_says(iam, client, person):
    key = person("ada", "iam:GetUser", "arn:aws:iam::*:user/${aws:username}")
    ada = client("iam", key)
    ada.get_user()
    with refused("AccessDenied"):
        ada.get_user(UserName="admin")
    results = iam.simulate_principal_policy(
        PolicySourceArn=ADA, ActionNames=["iam:GetUser"], ResourceArns=[ADA, ADA.replace("ada", "admin")]
    )["EvaluationResults"]
    assert [each["EvalDecision"] for each in results] == ["allowed", "implicitDeny"]


def test_groups_and_roles_are_simulated_and_managed_policies_named(iam):
    iam.create_group(GroupName="data")
    iam.attach_group_policy(GroupName="data", PolicyArn=READ_ONLY)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))
    iam.attach_role_policy(RoleName="r", PolicyArn=READ_ONLY)
    for source in ("group/data", "role/r"):
        result = iam.simulate_principal_policy(
            PolicySourceArn=f"arn:aws:iam::000000000000:{source}", ActionNames=["airflow:ListEnvironments"]
        )["EvaluationResults"][0]
        assert result["EvalDecision"] == "allowed"
        assert result["MatchedStatements"] == [
            {"SourcePolicyId": "AmazonMWAAReadOnlyAccess", "SourcePolicyType": "aws-managed"}
        ]
    namesake = iam.create_policy(
        PolicyName="AmazonMWAAReadOnlyAccess",
        PolicyDocument='{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}',
    )["Policy"]["Arn"]
    iam.create_group(GroupName="own")
    iam.attach_group_policy(GroupName="own", PolicyArn=namesake)
    [result] = iam.simulate_principal_policy(
        PolicySourceArn="arn:aws:iam::000000000000:group/own", ActionNames=["airflow:ListEnvironments"]
    )["EvaluationResults"]
    assert [each["SourcePolicyType"] for each in result["MatchedStatements"]] == ["user-managed"]
    with refused("NoSuchEntity"):
        iam.simulate_principal_policy(
            PolicySourceArn="arn:aws:iam::000000000000:user/nobody", ActionNames=["airflow:ListEnvironments"]
        )


def test_policies_yet_to_be_are_simulated(iam):
    document = policy("s3:*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})

    def simulated(**more):
        answer = iam.simulate_custom_policy(PolicyInputList=[document], ActionNames=["s3:GetObject"], **more)
        return answer["EvaluationResults"][0]

    without = simulated()
    assert (without["EvalDecision"], without["MissingContextValues"]) == ("implicitDeny", ["aws:SourceIp"])
    entry = {"ContextKeyName": "aws:SourceIp", "ContextKeyValues": ["10.1.2.3"], "ContextKeyType": "ip"}
    inside = simulated(ContextEntries=[entry])
    assert (inside["EvalDecision"], inside["MissingContextValues"]) == ("allowed", [])
    assert (
        simulated(ContextEntries=[entry], PermissionsBoundaryPolicyInputList=[policy("iam:*")])["EvalDecision"]
        == "implicitDeny"
    )
    with refused("InvalidInput", "PolicyInputList.1"):
        iam.simulate_custom_policy(PolicyInputList=["{"], ActionNames=["s3:GetObject"])
    with refused("InvalidInput", "ResourcePolicy"):
        simulated(ResourcePolicy=policy("s3:*"))


def test_simulations_are_paged_and_bounded(iam):
    many = {"PolicyInputList": [policy("s3:*")], "ActionNames": [f"s3:Get{number}" for number in range(40)]}
    pages = list(iam.get_paginator("simulate_custom_policy").paginate(**many, PaginationConfig={"PageSize": 15}))
    names = [each["EvalActionName"] for page in pages for each in page["EvaluationResults"]]
    assert (names, len(pages)) == (many["ActionNames"], 3)
    with refused("InvalidInput", "1040 results"):
        iam.simulate_custom_policy(**many, ResourceArns=[f"arn:aws:s3:::b{number}" for number in range(26)])


def test_every_operation_has_a_permission_and_a_model():
    assert set(iam_table.OPERATIONS) == set(permissions.TABLE)
    assert set(iam_table.OPERATIONS) <= models.names("iam")
    assert set(sts_table.OPERATIONS) <= models.names("sts")
    for service in ("iam", "sts"):
        assert models.XMLNS[service] == models.model(service).metadata["xmlNamespace"]
