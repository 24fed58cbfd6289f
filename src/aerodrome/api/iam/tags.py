"""Operations on the tags of users, roles, managed policies and OIDC providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aerodrome.api.iam import paging, shapes
from aerodrome.api.query.call import Blocking, Call, Output
from aerodrome.model.iam import holders, policies
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Policy

Find = Callable[[Directory, Call], holders.Tagged]


def _policy_to_change(iam: Directory, call: Call) -> Policy:
    return policies.own(iam, call.given["PolicyArn"])


_FINDING: Mapping[str, tuple[Find, Find]] = {
    "User": (lambda iam, call: iam.user(call.given["UserName"]),) * 2,
    "Role": (lambda iam, call: iam.role(call.given["RoleName"]),) * 2,
    "Policy": (lambda iam, call: iam.policy(call.given["PolicyArn"]), _policy_to_change),
    "OpenIDConnectProvider": (lambda iam, call: iam.provider(call.given["OpenIDConnectProviderArn"]),) * 2,
}
"""Kind → how to find an entity to read it, and to change it."""


def operations() -> Mapping[str, Blocking]:
    """The operations on tags, by name."""
    found: dict[str, Blocking] = {}
    for kind, (reading, changing) in _FINDING.items():
        found[f"Tag{kind}"] = _tag(changing)
        found[f"Untag{kind}"] = _untag(changing)
        found[f"List{kind}Tags"] = _list(reading)
    return found


def _tag(find: Find) -> Blocking:
    def run(call: Call) -> Output:
        call.change(lambda iam: holders.tag(iam, find(iam, call), shapes.tags_of(call.given)))
        return {}

    return run


def _untag(find: Find) -> Blocking:
    def run(call: Call) -> Output:
        call.change(lambda iam: holders.untag(iam, find(iam, call), call.given["TagKeys"]))
        return {}

    return run


def _list(find: Find) -> Blocking:
    def run(call: Call) -> Output:
        shown, tail = paging.page(find(call.iam, call).tags.items(), call.given, lambda tag: tag[0])
        return {"Tags": shapes.tags(dict(shown)), **tail}

    return run
