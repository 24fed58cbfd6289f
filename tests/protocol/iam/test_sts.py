"""GetCallerIdentity and sessions of roles, through unmodified boto3."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from botocore import auth

from protocol.iam.refusals import refused
from protocol.iam.world import ACCOUNT, SERVICE_KEY, policy, trust

ADA = "arn:aws:iam::000000000000:user/ada"
ROLE = "arn:aws:iam::000000000000:role/Engineer"
READ_ONLY = "arn:aws:iam::aws:policy/AmazonMWAAReadOnlyAccess"


@pytest.fixture
def ada(client, person):
    """A user who may nothing by policies of its own."""
    return client("sts", person("ada"))


@pytest.fixture
def role(iam):
    """Makes the role that the others here assume."""

    def make(document=None, **more):
        document = document or trust({"AWS": ADA})
        return iam.create_role(RoleName="Engineer", AssumeRolePolicyDocument=document, **more)["Role"]

    return make


def assumed(sts, name="session", **more):
    return sts.assume_role(RoleArn=ROLE, RoleSessionName=name, **more)


def key_of(answer):
    credentials = answer["Credentials"]
    return credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]


def test_everybody_may_know_who_they_are(ada, iam, world):
    iam.put_user_policy(UserName="ada", PolicyName="no", PolicyDocument=policy("*", effect="Deny"))
    found = ada.get_caller_identity()
    user = iam.get_user(UserName="ada")["User"]
    assert (found["Arn"], found["Account"], found["UserId"]) == (ADA, ACCOUNT, user["UserId"])
    assert world.answers[-1].allowed


def test_a_session_of_a_role_has_the_roles_permissions(ada, client, role, iam):
    made = role()
    iam.put_role_policy(RoleName="Engineer", PolicyName="p", PolicyDocument=policy("iam:ListUsers"))
    answer = assumed(ada)
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{made['RoleId']}:session",
        "Arn": "arn:aws:sts::000000000000:assumed-role/Engineer/session",
    }
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    left = answer["Credentials"]["Expiration"] - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)

    session = key_of(answer)
    found = client("sts", session).get_caller_identity()
    assert found["Arn"] == "arn:aws:sts::000000000000:assumed-role/Engineer/session"
    assert client("iam", session).list_users()["Users"]
    with refused("AccessDenied", "assumed-role/Engineer/session is not authorized to perform: iam:ListRoles"):
        client("iam", session).list_roles()
    with refused("ValidationError", "non-User credentials"):
        client("iam", session).get_user()


def test_who_is_not_trusted_is_refused_as_for_a_role_that_does_not_exist(ada, role, world):
    role(trust({"AWS": "arn:aws:iam::000000000000:user/admin"}))
    with refused("AccessDenied", f"User: {ADA} is not authorized to perform: sts:AssumeRole on resource: {ROLE}") as _:
        assumed(ada)
    assert not world.answers[-1].allowed
    nobody = ROLE.replace("Engineer", "Nobody")
    with refused("AccessDenied", f"on resource: {nobody}", status=403):
        ada.assume_role(RoleArn=nobody, RoleSessionName="session")


def test_trust_of_the_account_leaves_the_word_to_policies(ada, iam, role):
    role(trust({"AWS": ACCOUNT}))
    with refused("AccessDenied"):
        assumed(ada)
    iam.put_user_policy(UserName="ada", PolicyName="may", PolicyDocument=policy("sts:AssumeRole", ROLE))
    assert assumed(ada)["Credentials"]


def test_an_external_id_and_a_session_name_are_conditions(ada, role):
    condition = {"StringEquals": {"sts:ExternalId": "e-1"}, "StringLike": {"sts:RoleSessionName": "${aws:username}-*"}}
    role(trust({"AWS": ADA}, Condition=condition))
    assert assumed(ada, "ada-1", ExternalId="e-1")["Credentials"]
    for name, more in (("ada-1", {}), ("ada-1", {"ExternalId": "e-2"}), ("eve-1", {"ExternalId": "e-1"})):
        with refused("AccessDenied"):
            assumed(ada, name, **more)


def test_session_policies_limit_what_the_role_may(ada, client, role, iam):
    role()
    iam.put_role_policy(RoleName="Engineer", PolicyName="p", PolicyDocument=policy("iam:*"))
    limited = assumed(ada, Policy=policy("iam:ListUsers"))
    assert limited["PackedPolicySize"] > 0
    assert client("iam", key_of(limited)).list_users()["Users"]
    with refused("AccessDenied", "session policy"):
        client("iam", key_of(limited)).list_roles()
    by_managed = assumed(ada, PolicyArns=[{"arn": READ_ONLY}])
    with refused("AccessDenied", "session policy"):
        client("iam", key_of(by_managed)).list_users()
    with refused("MalformedPolicyDocument"):
        assumed(ada, Policy="{}")
    with refused("ValidationError", "does not exist"):
        assumed(ada, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/Nothing"}])


def test_too_much_session_policy_is_refused(ada, role):
    role()
    with refused("PackedPolicyTooLarge", status=400):
        assumed(ada, Policy=policy("s3:*", [f"arn:aws:s3:::bucket-{number}" for number in range(400)]))


def test_a_session_is_no_longer_than_the_role_allows(ada, client, role, world):
    role(MaxSessionDuration=7200)
    session = assumed(ada, DurationSeconds=7200)
    with refused("ValidationError", "exceeds the MaxSessionDuration"):
        assumed(ada, DurationSeconds=7201)
    identity = client("sts", key_of(session))
    identity.get_caller_identity()
    world.late = timedelta(hours=2, seconds=1)
    with refused("ExpiredToken"):
        late_identity(identity, world)


def late_identity(sts, world):
    """Asks with a signature of the world's own time, so that only the token is too old."""
    then = world.now().replace(tzinfo=None)
    with mock.patch.object(auth, "get_current_datetime", return_value=then):
        return sts.get_caller_identity()


def test_a_role_chained_from_a_role_lasts_an_hour(ada, client, role, iam):
    role(MaxSessionDuration=7200)
    iam.update_assume_role_policy(RoleName="Engineer", PolicyDocument=trust({"AWS": [ADA, ROLE]}))
    chained = client("sts", key_of(assumed(ada)))
    assert assumed(chained)["Credentials"]
    with refused("ValidationError", "role chaining"):
        assumed(chained, DurationSeconds=3601)


def test_a_session_ends_with_its_role(ada, client, role, iam):
    role()
    session = client("sts", key_of(assumed(ada)))
    session.get_caller_identity()
    iam.delete_role(RoleName="Engineer")
    role()
    with refused("InvalidClientTokenId"):
        session.get_caller_identity()


def test_session_tags_need_permission_and_become_the_principals(ada, client, role, iam):
    tags = {"Tags": [{"Key": "Team", "Value": "data"}]}
    role(Tags=[{"Key": "team", "Value": "other"}, {"Key": "kept", "Value": "1"}])
    with refused("AccessDenied", "sts:TagSession"):
        assumed(ada, **tags)
    tagging = trust(
        {"AWS": ADA}, ["sts:AssumeRole", "sts:TagSession"], Condition={"StringEquals": {"aws:RequestTag/team": "data"}}
    )
    iam.update_assume_role_policy(RoleName="Engineer", PolicyDocument=tagging)
    condition = {"StringEquals": {"aws:PrincipalTag/team": "data", "aws:PrincipalTag/kept": "1"}}
    document = policy("iam:ListUsers", Condition=condition)
    iam.put_role_policy(RoleName="Engineer", PolicyName="p", PolicyDocument=document)
    assert client("iam", key_of(assumed(ada, **tags))).list_users()["Users"]
    with refused("AccessDenied"):
        assumed(ada, Tags=[{"Key": "team", "Value": "else"}])


@pytest.mark.parametrize(
    "more",
    [
        {"SourceIdentity": "ada"},
        {"SerialNumber": "GAHT12345678", "TokenCode": "123456"},
        {"TransitiveTagKeys": ["team"]},
    ],
)
def test_what_is_not_honoured_is_refused(ada, role, more):
    role()
    with refused("ValidationError", "is not offered"):
        assumed(ada, **more)


def test_temporary_credentials_of_a_user(ada, client):
    session = client("sts", key_of(ada.get_session_token(DurationSeconds=900)))
    assert session.get_caller_identity()["Arn"] == ADA
    with refused("AccessDenied", "Cannot call GetSessionToken with session credentials"):
        session.get_session_token()


def test_a_session_token_is_bound_to_its_key_and_secret(ada, client, role):
    role()
    one, two = key_of(assumed(ada)), key_of(assumed(ada))
    for key in ((one[0], one[1], two[2]), (two[0], one[1], one[2]), (*one[:2], one[2][:-8] + "AAAAAAAA")):
        with refused("InvalidClientTokenId"):
            client("sts", key).get_caller_identity()
    with refused("SignatureDoesNotMatch"):
        client("sts", (one[0], two[1], one[2])).get_caller_identity()


def test_the_account_of_a_key(client, person, sts):
    key = person("ada")
    assert sts.get_access_key_info(AccessKeyId=key[0])["Account"] == ACCOUNT
    with refused("ValidationError"):
        sts.get_access_key_info(AccessKeyId="AKIANOBODYS000000000")
    with refused("AccessDenied"):
        client("sts", key).get_access_key_info(AccessKeyId=key[0])


class TestExecutionRoles:
    """An environment's own service."""

    @pytest.fixture
    def service(self, client):
        return client("sts", SERVICE_KEY)

    @pytest.mark.parametrize("name", ["airflow-env.amazonaws.com", "airflow.amazonaws.com"])
    def test_it_gets_the_role_of_its_environment(self, service, role, world, client, name):
        environment = f"arn:aws:airflow:us-east-1:{ACCOUNT}:environment/demo"
        condition = {"ArnLike": {"aws:SourceArn": environment}, "StringEquals": {"aws:SourceAccount": ACCOUNT}}
        role(trust({"Service": name}, Condition=condition))
        world.execution_roles["demo"] = {ROLE}
        session = assumed(service, "AmazonMWAA-airflow")
        assert client("sts", key_of(session)).get_caller_identity()["Arn"].endswith("Engineer/AmazonMWAA-airflow")
        assert world.answers[-2].environment == "demo"

    def test_it_gets_no_other_role(self, service, role, world):
        role(trust({"Service": "airflow-env.amazonaws.com"}))
        with refused("AccessDenied", "airflow-env.amazonaws.com is not authorized to perform: sts:AssumeRole"):
            assumed(service)
        world.execution_roles["demo"] = {ROLE.replace("Engineer", "Other")}
        with refused("AccessDenied"):
            assumed(service)
        world.execution_roles["other"] = {ROLE}
        with refused("AccessDenied"):
            assumed(service)

    @pytest.mark.parametrize(
        "document",
        [
            trust({"AWS": ACCOUNT}),
            trust({"Service": "ec2.amazonaws.com"}),
            trust("*"),
            trust({"Service": "airflow.amazonaws.com"}, Condition={"StringEquals": {"aws:SourceAccount": "1" * 12}}),
        ],
        ids=["account", "other service", "everybody", "other account"],
    )
    def test_the_role_must_trust_it(self, service, role, world, document):
        role(document)
        world.execution_roles["demo"] = {ROLE}
        with refused("AccessDenied"):
            assumed(service)

    def test_a_deny_of_one_name_counts_for_both(self, service, role, world):
        services = ["airflow-env.amazonaws.com", "airflow.amazonaws.com"]
        document = json.loads(trust({"Service": services[0]}))
        document["Statement"] += json.loads(trust({"Service": services[1]}, Effect="Deny"))["Statement"]
        role(json.dumps(document))
        world.execution_roles["demo"] = {ROLE}
        with refused("AccessDenied", "explicit deny"):
            assumed(service)

    def test_it_may_do_nothing_else(self, client, service):
        with refused("AccessDenied"):
            client("iam", SERVICE_KEY).list_users()
        with refused("AccessDenied"):
            service.get_session_token()
