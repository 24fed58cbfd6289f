"""What a low-privileged principal might try with IAM and STS, through unmodified boto3."""

from __future__ import annotations

import pytest

from protocol.iam.refusals import refused
from protocol.iam.world import policy, trust

BOB = "arn:aws:iam::000000000000:user/bob"
ROLE = "arn:aws:iam::000000000000:role/Powerful"


def key_of(answer):
    credentials = answer["Credentials"]
    return credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"]


def removed(iam, key, name="bob"):
    iam.delete_access_key(UserName=name, AccessKeyId=key[0])
    for policy_name in iam.list_user_policies(UserName=name)["PolicyNames"]:
        iam.delete_user_policy(UserName=name, PolicyName=policy_name)
    iam.delete_user(UserName=name)


def test_a_user_of_the_same_name_is_not_trusted_in_anothers_place(iam, client, person):
    """A principal that may make users must not become one that a role trusted before."""
    first = person("bob")
    iam.create_role(RoleName="Powerful", AssumeRolePolicyDocument=trust({"AWS": BOB}))
    assert client("sts", first).assume_role(RoleArn=ROLE, RoleSessionName="session")
    removed(iam, first)

    second = person("bob")
    with refused("AccessDenied", "sts:AssumeRole"):
        client("sts", second).assume_role(RoleArn=ROLE, RoleSessionName="session")


def test_a_renamed_user_stays_trusted_and_the_next_of_its_name_is_not(iam, client, person):
    first = person("bob")
    iam.create_role(RoleName="Powerful", AssumeRolePolicyDocument=trust({"AWS": BOB}))
    iam.update_user(UserName="bob", NewUserName="robert")

    second = person("bob")
    assert client("sts", first).assume_role(RoleArn=ROLE, RoleSessionName="session")
    with refused("AccessDenied", "sts:AssumeRole"):
        client("sts", second).assume_role(RoleArn=ROLE, RoleSessionName="session")


def test_a_role_of_the_same_name_is_not_trusted_in_anothers_place(iam, client, person):
    ada = person("ada")
    trusting = trust({"AWS": "arn:aws:iam::000000000000:user/ada"})
    iam.create_role(RoleName="Step", AssumeRolePolicyDocument=trusting)
    iam.create_role(RoleName="Powerful", AssumeRolePolicyDocument=trust({"AWS": "arn:aws:iam::000000000000:role/Step"}))
    iam.delete_role(RoleName="Step")
    iam.create_role(RoleName="Step", AssumeRolePolicyDocument=trusting)

    step = client("sts", ada).assume_role(RoleArn="arn:aws:iam::000000000000:role/Step", RoleSessionName="session")
    with refused("AccessDenied", "sts:AssumeRole"):
        client("sts", key_of(step)).assume_role(RoleArn=ROLE, RoleSessionName="session")


@pytest.mark.parametrize("named", [BOB, "arn:aws:iam::000000000000:role/Nobody", "AIDANOBODYNOBODYNOBODY"])
def test_a_role_trusts_nobody_who_does_not_exist(iam, named):
    """A user that is made later would be trusted; AWS refuses such a policy too."""
    with refused("MalformedPolicyDocument", "Invalid principal in policy"):
        iam.create_role(RoleName="Powerful", AssumeRolePolicyDocument=trust({"AWS": named}))


def test_temporary_credentials_of_a_user_make_no_lasting_ones(client, person):
    """Stolen for an hour they must not become a key for ever; AWS refuses IAM to them as well."""
    ada = person("ada", "*")
    session = key_of(client("sts", ada).get_session_token())
    with refused("InvalidClientTokenId", "The security token included in the request is invalid"):
        client("iam", session).create_access_key()
    assert client("sts", session).get_caller_identity()["Arn"].endswith("user/ada")


def test_a_simulation_of_huge_policies_comes_in_short_pages(iam):
    """One call of a megabyte took over a minute, in which hardly anybody else was answered."""
    resources = [f"arn:aws:s3:::{'*aaaaaaaaaaaaaaaaaaaa' * 50}{number}" for number in range(110)]
    asked = {
        "PolicyInputList": [policy("x:y", resources)] * 7,
        "ActionNames": [f"x:y{number}" for number in range(40)],
        "ResourceArns": [f"arn:aws:s3:::{'a' * 1900}{number}" for number in range(2)],
    }

    first = iam.simulate_custom_policy(**asked, MaxItems=1000)

    assert 1 <= len(first["EvaluationResults"]) < 40
    assert first["IsTruncated"]
    pages = iam.get_paginator("simulate_custom_policy").paginate(**asked)
    assert len([result for page in pages for result in page["EvaluationResults"]]) == 80
