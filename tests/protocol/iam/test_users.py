"""Users, access keys and groups through unmodified boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from protocol.iam.refusals import refused
from protocol.iam.world import ADMIN_KEY

READ_ONLY = "arn:aws:iam::aws:policy/AmazonMWAAReadOnlyAccess"


def test_a_user_is_made_looked_at_changed_and_deleted(iam):
    made = iam.create_user(
        UserName="ada", Path="/team/", Tags=[{"Key": "team", "Value": "dåta"}], PermissionsBoundary=READ_ONLY
    )["User"]
    assert made["Arn"] == "arn:aws:iam::000000000000:user/team/ada"
    assert made["UserId"].startswith("AIDA")
    assert len(made["UserId"]) == 21
    assert abs(made["CreateDate"] - datetime.now(UTC)) < timedelta(minutes=1)

    found = iam.get_user(UserName="ada")["User"]
    assert found["Tags"] == [{"Key": "team", "Value": "dåta"}]
    assert found["PermissionsBoundary"]["PermissionsBoundaryArn"] == READ_ONLY

    iam.update_user(UserName="ada", NewUserName="Ada", NewPath="/")
    assert iam.get_user(UserName="Ada")["User"]["UserId"] == made["UserId"]
    with refused("NoSuchEntity", "The user with name ada cannot be found.", status=404):
        iam.get_user(UserName="ada")

    iam.delete_user(UserName="Ada")
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["admin"]


def test_names_differ_by_more_than_case(iam):
    iam.create_user(UserName="ada")
    with refused("EntityAlreadyExists", "User with name ADA already exists.", status=409):
        iam.create_user(UserName="ADA")


def test_without_a_name_it_is_the_caller(iam, client, person):
    assert iam.get_user()["User"]["UserName"] == "admin"
    ada = client("iam", person("ada", "iam:*", "arn:aws:iam::*:user/${aws:username}"))
    assert ada.get_user()["User"]["UserName"] == "ada"
    assert [key["UserName"] for key in ada.list_access_keys()["AccessKeyMetadata"]] == ["ada"]


def test_tags_of_users(iam):
    iam.create_user(UserName="ada")
    iam.tag_user(UserName="ada", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.tag_user(UserName="ada", Tags=[{"Key": "A", "Value": "3"}])
    assert iam.list_user_tags(UserName="ada")["Tags"] == [{"Key": "A", "Value": "3"}, {"Key": "b", "Value": "2"}]
    iam.untag_user(UserName="ada", TagKeys=["b", "absent"])
    assert iam.list_user_tags(UserName="ada")["Tags"] == [{"Key": "A", "Value": "3"}]
    with refused("InvalidInput", "aws:"):
        iam.tag_user(UserName="ada", Tags=[{"Key": "aws:x", "Value": "1"}])
    with refused("InvalidInput", "Duplicate"):
        iam.tag_user(UserName="ada", Tags=[{"Key": "x", "Value": "1"}, {"Key": "X", "Value": "2"}])


def test_an_access_key_signs_until_it_is_switched_off(iam, client):
    iam.create_user(UserName="ada")
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    assert (len(key["AccessKeyId"]), len(key["SecretAccessKey"]), key["Status"]) == (20, 40, "Active")
    sts = client("sts", (key["AccessKeyId"], key["SecretAccessKey"]))
    assert sts.get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:user/ada"

    iam.update_access_key(UserName="ada", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert iam.list_access_keys(UserName="ada")["AccessKeyMetadata"][0]["Status"] == "Inactive"
    with refused("InvalidClientTokenId", status=403):
        sts.get_caller_identity()
    iam.update_access_key(UserName="ada", AccessKeyId=key["AccessKeyId"], Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName="ada", AccessKeyId=key["AccessKeyId"])
    with refused("InvalidClientTokenId"):
        sts.get_caller_identity()


def test_a_user_has_two_access_keys_at_most_and_they_are_its_own(iam):
    iam.create_user(UserName="ada")
    iam.create_access_key(UserName="ada")
    iam.create_access_key(UserName="ada")
    with refused("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", status=409):
        iam.create_access_key(UserName="ada")
    with refused("NoSuchEntity", "Access Key"):
        iam.delete_access_key(UserName="ada", AccessKeyId=ADMIN_KEY[0])


def test_the_last_use_of_a_key(iam, client, person):
    key = person("ada")
    unused = iam.get_access_key_last_used(AccessKeyId=key[0])
    assert (unused["UserName"], unused["AccessKeyLastUsed"]["ServiceName"]) == ("ada", "N/A")
    client("sts", key).get_caller_identity()
    used = iam.get_access_key_last_used(AccessKeyId=key[0])["AccessKeyLastUsed"]
    assert (used["ServiceName"], used["Region"]) == ("sts", "us-east-1")
    with refused("NoSuchEntity"):
        iam.get_access_key_last_used(AccessKeyId="AKIANOBODYS000000000")


def test_what_has_something_left_is_not_deleted(iam, person):
    key = person("ada", "s3:*")
    iam.create_group(GroupName="data")
    iam.add_user_to_group(GroupName="data", UserName="ada")
    iam.attach_group_policy(GroupName="data", PolicyArn=READ_ONLY)
    with refused("DeleteConflict", "must delete access keys first", status=409):
        iam.delete_user(UserName="ada")
    iam.delete_access_key(UserName="ada", AccessKeyId=key[0])
    with refused("DeleteConflict", "must delete policies first"):
        iam.delete_user(UserName="ada")
    iam.delete_user_policy(UserName="ada", PolicyName="own")
    with refused("DeleteConflict", "must remove users from group first"):
        iam.delete_user(UserName="ada")
    with refused("DeleteConflict", "must remove users from group first"):
        iam.delete_group(GroupName="data")
    iam.remove_user_from_group(GroupName="data", UserName="ada")
    with refused("DeleteConflict", "must detach all policies first"):
        iam.delete_group(GroupName="data")
    iam.detach_group_policy(GroupName="data", PolicyArn=READ_ONLY)
    iam.delete_group(GroupName="data")
    iam.delete_user(UserName="ada")


def test_groups_and_their_members(iam):
    made = iam.create_group(GroupName="data", Path="/x/")["Group"]
    assert made["Arn"] == "arn:aws:iam::000000000000:group/x/data"
    assert made["GroupId"].startswith("AGPA")
    for name in ("b", "a"):
        iam.create_user(UserName=name)
        iam.add_user_to_group(GroupName="data", UserName=name)
    iam.add_user_to_group(GroupName="data", UserName="a")
    found = iam.get_group(GroupName="data")
    assert [user["UserName"] for user in found["Users"]] == ["a", "b"]
    iam.update_group(GroupName="data", NewGroupName="analysts")
    assert [group["GroupName"] for group in iam.list_groups_for_user(UserName="a")["Groups"]] == ["analysts"]
    assert [group["GroupName"] for group in iam.list_groups(PathPrefix="/x/")["Groups"]] == ["analysts"]
    assert iam.list_groups(PathPrefix="/y/")["Groups"] == []
    with refused("EntityAlreadyExists"):
        iam.create_group(GroupName="Analysts")
    with refused("NoSuchEntity", "The group with name data cannot be found."):
        iam.get_group(GroupName="data")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_add_up_whatever_their_size(iam, size):
    names = {f"user{number}" for number in range(6)}
    for name in names:
        iam.create_user(UserName=name)
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": size}))
    shown = [user["UserName"] for page in pages for user in page["Users"]]
    assert shown == sorted(names | {"admin"})
    assert [len(page["Users"]) for page in pages[:-1]] == [size] * (len(pages) - 1)


def test_a_made_up_marker_is_refused(iam):
    for marker in ("nonsense", "MTo=x", "é"):
        with refused("ValidationError", "Marker"):
            iam.list_users(Marker=marker)


def test_the_summary_counts(iam):
    before = iam.get_account_summary()["SummaryMap"]
    iam.create_user(UserName="ada")
    iam.create_group(GroupName="data")
    after = iam.get_account_summary()["SummaryMap"]
    assert (after["Users"] - before["Users"], after["Groups"] - before["Groups"]) == (1, 1)
    assert after["AccessKeysPerUserQuota"] == 2
    assert iam.list_account_aliases()["AccountAliases"] == []
