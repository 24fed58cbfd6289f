"""Roles, managed policies, inline policies, boundaries and providers through unmodified boto3."""

from __future__ import annotations

import json

import pytest

from protocol.iam.refusals import refused
from protocol.iam.world import ACCOUNT, policy, trust

READ_ONLY = "arn:aws:iam::aws:policy/AmazonMWAAReadOnlyAccess"
OWN = "arn:aws:iam::000000000000:policy/own"
TRUST = trust({"AWS": ACCOUNT})
KINDS = ("user", "group", "role")


@pytest.fixture
def holder(iam):
    """Makes a user, group or role named `it`, and returns the arguments that name it."""

    def make(kind):
        name = {f"{kind.capitalize()}Name": "it"}
        more = {"AssumeRolePolicyDocument": TRUST} if kind == "role" else {}
        getattr(iam, f"create_{kind}")(**name, **more)
        return name

    return make


def test_a_role_is_made_looked_at_changed_and_deleted(iam):
    made = iam.create_role(
        RoleName="Engineer",
        Path="/team/",
        AssumeRolePolicyDocument=TRUST,
        Description="Who runs DAGs",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "data"}],
    )["Role"]
    assert made["Arn"] == "arn:aws:iam::000000000000:role/team/Engineer"
    assert made["RoleId"].startswith("AROA")
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST)

    iam.update_role(RoleName="Engineer", MaxSessionDuration=3600)
    found = iam.get_role(RoleName="Engineer")["Role"]
    assert (found["MaxSessionDuration"], found["Description"]) == (3600, "Who runs DAGs")
    assert found["Tags"] == [{"Key": "team", "Value": "data"}]
    assert iam.update_role_description(RoleName="Engineer", Description="Else")["Role"]["Description"] == "Else"

    other = trust({"Service": "airflow.amazonaws.com"})
    iam.update_assume_role_policy(RoleName="Engineer", PolicyDocument=other)
    assert iam.get_role(RoleName="Engineer")["Role"]["AssumeRolePolicyDocument"] == json.loads(other)
    iam.tag_role(RoleName="Engineer", Tags=[{"Key": "x", "Value": ""}])
    iam.untag_role(RoleName="Engineer", TagKeys=["team"])
    assert iam.list_role_tags(RoleName="Engineer")["Tags"] == [{"Key": "x", "Value": ""}]
    assert iam.list_instance_profiles_for_role(RoleName="Engineer")["InstanceProfiles"] == []

    assert [role["RoleName"] for role in iam.list_roles(PathPrefix="/team/")["Roles"]] == ["Engineer"]
    with refused("EntityAlreadyExists"):
        iam.create_role(RoleName="engineer", AssumeRolePolicyDocument=TRUST)
    iam.delete_role(RoleName="Engineer")
    with refused("NoSuchEntity", "The role with name Engineer cannot be found."):
        iam.get_role(RoleName="Engineer")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        "{}",
        policy("s3:*"),
        trust({"AWS": "everyone at all"}),
        trust({"AWS": ACCOUNT}, "iam:*"),
    ],
    ids=["no json", "no object", "no statement", "no principal", "no such principal", "no assumption"],
)
def test_a_malformed_trust_policy_is_refused_with_the_reason(iam, document):
    with refused("MalformedPolicyDocument", status=400) as _:
        iam.create_role(RoleName="Engineer", AssumeRolePolicyDocument=document)
    assert iam.list_roles()["Roles"] == []


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("no json", "Json"),
        (policy("s3", "*"), ""),
        (policy("s3:*", "bucket"), ""),
        (policy("s3:*", effect="allow"), "effect"),
        (policy("s3:*", Principal="*"), "principal"),
        (policy("s3:*", Condition={"StringAlmost": {"aws:username": "x"}}), "StringAlmost"),
    ],
)
def test_a_malformed_policy_is_refused_with_the_reason(iam, holder, document, words):
    name = holder("user")
    with refused("MalformedPolicyDocument", words, status=400):
        iam.put_user_policy(**name, PolicyName="bad", PolicyDocument=document)
    with refused("MalformedPolicyDocument", words):
        iam.create_policy(PolicyName="bad", PolicyDocument=document)
    assert iam.list_user_policies(**name)["PolicyNames"] == []
    assert iam.list_policies(Scope="Local")["Policies"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_inline_policies(iam, holder, kind):
    name = holder(kind)
    document = policy("s3:GetObject", "arn:aws:s3:::a&b/<c>+%20é")
    getattr(iam, f"put_{kind}_policy")(**name, PolicyName="one", PolicyDocument=document)
    getattr(iam, f"put_{kind}_policy")(**name, PolicyName="two", PolicyDocument=policy("s3:*"))
    found = getattr(iam, f"get_{kind}_policy")(**name, PolicyName="one")
    assert found["PolicyDocument"] == json.loads(document)
    assert getattr(iam, f"list_{kind}_policies")(**name)["PolicyNames"] == ["one", "two"]
    getattr(iam, f"delete_{kind}_policy")(**name, PolicyName="one")
    with refused("NoSuchEntity", f"The {kind} policy with name one cannot be found."):
        getattr(iam, f"get_{kind}_policy")(**name, PolicyName="one")


@pytest.mark.parametrize(("kind", "most"), [("user", 2048), ("group", 5120), ("role", 10240)])
def test_inline_policies_have_a_size_together_white_space_apart(iam, holder, kind, most):
    name = holder(kind)
    half = policy("s3:GetObject", ["arn:aws:s3:::b/" + "x" * 78] * (most // 2 // 100 - 1))
    put = getattr(iam, f"put_{kind}_policy")
    put(**name, PolicyName="one", PolicyDocument=half + " " * most)
    put(**name, PolicyName="two", PolicyDocument=half)
    with refused("LimitExceeded", f"Maximum policy size of {most} bytes exceeded for {kind} it"):
        put(**name, PolicyName="three", PolicyDocument=half)


@pytest.mark.parametrize("kind", KINDS)
def test_attached_policies(iam, holder, kind):
    name = holder(kind)
    for _ in range(2):
        getattr(iam, f"attach_{kind}_policy")(**name, PolicyArn=READ_ONLY)
    listed = getattr(iam, f"list_attached_{kind}_policies")(**name)["AttachedPolicies"]
    assert listed == [{"PolicyName": "AmazonMWAAReadOnlyAccess", "PolicyArn": READ_ONLY}]
    entities = iam.list_entities_for_policy(PolicyArn=READ_ONLY)
    assert [each[f"{kind.capitalize()}Name"] for each in entities[f"Policy{kind.capitalize()}s"]] == ["it"]
    assert iam.get_policy(PolicyArn=READ_ONLY)["Policy"]["AttachmentCount"] == 1
    getattr(iam, f"detach_{kind}_policy")(**name, PolicyArn=READ_ONLY)
    with refused("NoSuchEntity", "was not found"):
        getattr(iam, f"detach_{kind}_policy")(**name, PolicyArn=READ_ONLY)
    with refused("NoSuchEntity", "does not exist or is not attachable"):
        getattr(iam, f"attach_{kind}_policy")(**name, PolicyArn="arn:aws:iam::aws:policy/Nothing")


def test_no_more_than_ten_policies_are_attached(iam, holder):
    name = holder("user")
    arns = [
        iam.create_policy(PolicyName=f"p{number}", PolicyDocument=policy("s3:*"))["Policy"]["Arn"]
        for number in range(11)
    ]
    for arn in arns[:10]:
        iam.attach_user_policy(**name, PolicyArn=arn)
    with refused("LimitExceeded", "Cannot exceed quota for PoliciesPerUser: 10"):
        iam.attach_user_policy(**name, PolicyArn=arns[10])


def test_versions_of_a_managed_policy(iam):
    made = iam.create_policy(
        PolicyName="own", PolicyDocument=policy("s3:*"), Description="d", Tags=[{"Key": "k", "Value": "v"}]
    )["Policy"]
    assert (made["Arn"], made["DefaultVersionId"], made["PolicyId"][:4]) == (OWN, "v1", "ANPA")
    for number in range(2, 6):
        iam.create_policy_version(PolicyArn=OWN, PolicyDocument=policy(f"s3:Get{number}"), SetAsDefault=number == 3)
    with refused("LimitExceeded", "up to 5 versions"):
        iam.create_policy_version(PolicyArn=OWN, PolicyDocument=policy("s3:*"))
    versions = iam.list_policy_versions(PolicyArn=OWN)["Versions"]
    assert [version["VersionId"] for version in versions] == ["v5", "v4", "v3", "v2", "v1"]
    assert [version["VersionId"] for version in versions if version["IsDefaultVersion"]] == ["v3"]
    document = iam.get_policy_version(PolicyArn=OWN, VersionId="v3")["PolicyVersion"]["Document"]
    assert document == json.loads(policy("s3:Get3"))

    with refused("DeleteConflict", "default version"):
        iam.delete_policy_version(PolicyArn=OWN, VersionId="v3")
    iam.set_default_policy_version(PolicyArn=OWN, VersionId="v5")
    iam.delete_policy_version(PolicyArn=OWN, VersionId="v3")
    with refused("NoSuchEntity"):
        iam.get_policy_version(PolicyArn=OWN, VersionId="v3")
    added = iam.create_policy_version(PolicyArn=OWN, PolicyDocument=policy("s3:*"))
    assert added["PolicyVersion"]["VersionId"] == "v6"
    with refused("DeleteConflict", "more than one version"):
        iam.delete_policy(PolicyArn=OWN)
    found = iam.get_policy(PolicyArn=OWN)["Policy"]
    assert (found["Description"], found["Tags"]) == ("d", [{"Key": "k", "Value": "v"}])


def test_a_policy_in_use_is_not_deleted(iam, holder):
    name = holder("user")
    iam.create_policy(PolicyName="own", PolicyDocument=policy("s3:*"))
    iam.put_user_permissions_boundary(**name, PermissionsBoundary=OWN)
    with refused("DeleteConflict", "attached to entities"):
        iam.delete_policy(PolicyArn=OWN)
    iam.delete_user_permissions_boundary(**name)
    iam.attach_user_policy(**name, PolicyArn=OWN)
    with refused("DeleteConflict", "attached to entities"):
        iam.delete_policy(PolicyArn=OWN)
    iam.detach_user_policy(**name, PolicyArn=OWN)
    iam.delete_policy(PolicyArn=OWN)
    with refused("NoSuchEntity"):
        iam.get_policy(PolicyArn=OWN)


def test_lists_of_policies_by_scope_and_use(iam, holder):
    name = holder("user")
    iam.create_policy(PolicyName="own", PolicyDocument=policy("s3:*"))
    iam.put_user_permissions_boundary(**name, PermissionsBoundary=OWN)

    def listed(**more):
        return [each["PolicyName"] for each in iam.list_policies(**more)["Policies"]]

    assert listed(Scope="Local") == ["own"]
    assert "AmazonMWAAFullApiAccess" in listed(Scope="AWS")
    assert set(listed()) == {*listed(Scope="Local"), *listed(Scope="AWS")}
    assert listed(OnlyAttached=True) == ["AdministratorAccess"]
    assert listed(PolicyUsageFilter="PermissionsBoundary") == ["own"]
    pages = iam.get_paginator("list_policies").paginate(PaginationConfig={"PageSize": 2})
    assert [each["PolicyName"] for page in pages for each in page["Policies"]] == listed()


def test_awss_policies_are_read_only(iam):
    found = iam.get_policy_version(PolicyArn=READ_ONLY, VersionId="v1")["PolicyVersion"]["Document"]
    assert "airflow:GetEnvironment" in found["Statement"][0]["Action"]
    with refused("AccessDenied", "read-only", status=403):
        iam.delete_policy(PolicyArn=READ_ONLY)
    with refused("AccessDenied"):
        iam.create_policy_version(PolicyArn=READ_ONLY, PolicyDocument=policy("s3:*"))
    with refused("AccessDenied"):
        iam.set_default_policy_version(PolicyArn=READ_ONLY, VersionId="v1")
    with refused("AccessDenied"):
        iam.tag_policy(PolicyArn=READ_ONLY, Tags=[{"Key": "k", "Value": "v"}])


@pytest.mark.parametrize("kind", ["user", "role"])
def test_permissions_boundaries(iam, holder, kind):
    name = holder(kind)
    with refused("NoSuchEntity"):
        getattr(iam, f"delete_{kind}_permissions_boundary")(**name)
    getattr(iam, f"put_{kind}_permissions_boundary")(**name, PermissionsBoundary=READ_ONLY)
    found = getattr(iam, f"get_{kind}")(**name)[kind.capitalize()]["PermissionsBoundary"]
    assert found["PermissionsBoundaryArn"] == READ_ONLY
    getattr(iam, f"delete_{kind}_permissions_boundary")(**name)
    assert "PermissionsBoundary" not in getattr(iam, f"get_{kind}")(**name)[kind.capitalize()]


def test_mwaas_service_linked_role_exists_once_and_is_the_services(iam):
    role = iam.create_service_linked_role(AWSServiceName="airflow.amazonaws.com")["Role"]
    path = "aws-service-role/airflow.amazonaws.com/AWSServiceRoleForAmazonMWAA"
    assert role["Arn"] == f"arn:aws:iam::000000000000:role/{path}"
    attached = iam.list_attached_role_policies(RoleName=role["RoleName"])["AttachedPolicies"]
    assert [each["PolicyName"] for each in attached] == ["AmazonMWAAServiceRolePolicy"]
    with refused("InvalidInput", "has been taken"):
        iam.create_service_linked_role(AWSServiceName="airflow.amazonaws.com")
    with refused("InvalidInput", "only"):
        iam.create_service_linked_role(AWSServiceName="ecs.amazonaws.com")
    for forbidden in (
        lambda: iam.delete_role(RoleName=role["RoleName"]),
        lambda: iam.attach_role_policy(RoleName=role["RoleName"], PolicyArn=READ_ONLY),
        lambda: iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=TRUST),
    ):
        with refused("UnmodifiableEntity", "only modifiable by AWS"):
            forbidden()
    assert iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"].startswith("task/")
    assert iam.list_roles()["Roles"] == []
    with refused("InvalidInput"):
        iam.create_role(RoleName="x", Path="/aws-service-role/x/", AssumeRolePolicyDocument=TRUST)


def test_a_service_role_policy_is_for_its_role_alone(iam, holder):
    name = holder("role")
    arn = "arn:aws:iam::aws:policy/aws-service-role/AmazonMWAAServiceRolePolicy"
    with refused("PolicyNotAttachable"):
        iam.attach_role_policy(**name, PolicyArn=arn)


def test_openid_connect_providers(iam):
    arn = iam.create_open_id_connect_provider(
        Url="https://Issuer.example/realms/x", ClientIDList=["a"], ThumbprintList=["a" * 40]
    )["OpenIDConnectProviderArn"]
    assert arn == "arn:aws:iam::000000000000:oidc-provider/Issuer.example/realms/x"
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="b")
    iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="a")
    iam.update_open_id_connect_provider_thumbprint(OpenIDConnectProviderArn=arn, ThumbprintList=["b" * 40])
    iam.tag_open_id_connect_provider(OpenIDConnectProviderArn=arn, Tags=[{"Key": "k", "Value": "v"}])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (found["Url"], found["ClientIDList"]) == ("Issuer.example/realms/x", ["b"])
    assert (found["ThumbprintList"], found["Tags"]) == (["b" * 40], [{"Key": "k", "Value": "v"}])
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == [{"Arn": arn}]
    with refused("EntityAlreadyExists"):
        iam.create_open_id_connect_provider(Url="https://issuer.example/realms/x")
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("NoSuchEntity"):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example",
        "ftp://issuer.example",
        "https://",
        "https://me@issuer.example",
        "https://issuer.example?x=1",
        "https://issuer.example:port",
        "http://127.0.0.1.issuer.example",
        "issuer.example",
    ],
)
def test_an_issuer_is_https_or_on_loopback(iam, url):
    with refused("InvalidInput", "Invalid Open ID Connect Provider URL"):
        iam.create_open_id_connect_provider(Url=url)
