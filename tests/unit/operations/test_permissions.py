"""What IAM is asked for each operation, and that its refusal may leave for all of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aerodrome.api.wire import errors, service
from aerodrome.identity.policy.patterns import arn_matches
from aerodrome.operations import permissions
from aerodrome.operations.permissions import Scope

OPERATIONS = [operation.name for operation in service.operations()]
PLACE = {"region": "us-east-1", "account": "000000000000"}
NAMES = st.from_regex(r"[a-zA-Z][0-9a-zA-Z_-]{0,79}", fullmatch=True)
TAGS = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=5)


def test_every_operation_has_a_permission() -> None:
    assert set(permissions.TABLE) == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_by_iam_may_leave_for_every_operation(operation: str) -> None:
    refusal = errors.WireError(errors.ACCESS_DENIED, "no")
    assert errors.translated(operation, refusal) is refusal


def test_roles_are_the_resource_of_logins_only() -> None:
    assert {name for name, each in permissions.TABLE.items() if each.scope is Scope.ROLE} == {
        "CreateWebLoginToken",
        "InvokeRestApi",
    }


@given(name=NAMES)
def test_the_resource_is_found_by_its_name_or_arn(name: str) -> None:
    arn = f"arn:aws:airflow:us-east-1:000000000000:environment/{name}"

    for document in ({"Name": name}, {"EnvironmentName": name}, {"ResourceArn": arn}):
        assert permissions.environment_arn(document, **PLACE) == arn
        assert permissions.environment_name(document) == name


@given(name=NAMES, other=NAMES)
def test_a_policy_for_one_environment_is_for_no_other(name: str, other: str) -> None:
    arn = permissions.environment_arn({"Name": other}, **PLACE)

    assert arn_matches(f"arn:aws:airflow:us-east-1:000000000000:environment/{name}", arn) is (name == other)


@given(requested=TAGS, had=TAGS, removed=st.lists(st.text(min_size=1, max_size=8), max_size=4))
def test_no_tag_is_lost_or_moved(requested: dict[str, str], had: dict[str, str], removed: list[str]) -> None:
    document: dict[str, Any] = {"Tags": requested, "tagKeys": removed}
    found = permissions.tag_context(document, had)

    assert all(key == key.lower() for key in found)
    assert sorted(found.get("aws:tagkeys", ())) == sorted([*requested, *removed])
    for prefix, tags in (("aws:requesttag/", requested), ("aws:resourcetag/", had)):
        for key, value in tags.items():
            assert value in found[prefix + key.lower()]
        values = [value for key, each in found.items() if key.startswith(prefix) for value in each]
        assert sorted(values) == sorted(tags.values())
