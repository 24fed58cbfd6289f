"""Whom trust policies name: principals of this account must exist, and a name never passes to somebody else.

AWS keeps the unique id behind an ARN in a trust policy. So a renamed user stays trusted, and whoever is made later
under the name of one who is gone is not. Here ARNs stand in the documents as long as they hold: they follow a rename,
and the unique id takes their place when the principal goes. `users` and `roles` call it. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aerodrome.model.iam import errors
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Role, User

_ELEMENTS = ("Principal", "NotPrincipal")


def check(directory: Directory, document: str) -> None:
    """Raise MalformedPolicyDocument for a user or role of this account that does not exist."""
    users, roles = directory.users.values(), directory.roles.values()
    known = {name for user in users for name in (user.arn, user.unique_id)}
    known |= {name for role in roles for name in (role.arn, role.unique_id)}
    sessions = tuple(_sessions(directory, role) for role in roles)
    ours = (directory.arn("user", "/", ""), directory.arn("role", "/", ""), _sessions(directory, None))

    def look(name: str) -> str:
        is_ours = name.startswith(ours) or not (name.startswith("arn:") or name.isdigit() or name == "*")
        if is_ours and name not in known and not name.startswith(sessions):
            raise errors.IamError(errors.MALFORMED_POLICY, f'Invalid principal in policy: "AWS":"{name[:128]}"')
        return name

    _mapped(document, look)


def renamed(directory: Directory, user: User, new_arn: str) -> Directory:
    """With the user's new ARN wherever the old one is trusted."""
    return _changed(directory, lambda name: new_arn if name == user.arn else name)


def gone(directory: Directory, entity: User | Role) -> Directory:
    """With the unique id of a user or role that is deleted in the place of its ARN, and of its sessions'."""
    sessions = _sessions(directory, entity) if isinstance(entity, Role) else None

    def forget(name: str) -> str:
        is_session = sessions is not None and name.startswith(sessions)
        return entity.unique_id if name == entity.arn or is_session else name

    return _changed(directory, forget)


def _sessions(directory: Directory, role: Role | None) -> str:
    """How the ARNs of a role's sessions begin; of every role's, when none is given."""
    of_all = f"arn:{directory.partition}:sts::{directory.account}:assumed-role/"
    return of_all if role is None else f"{of_all}{role.name}/"


def _changed(directory: Directory, change: Callable[[str], str]) -> Directory:
    for role in directory.roles.values():
        document = _mapped(role.trust, change)
        if document is not None:
            directory = directory.having(replace(role, trust=document))
    return directory


def _mapped(document: str, change: Callable[[str], str]) -> str | None:
    """The document with every AWS principal changed; None when that changes nothing, so that its text can stay."""
    policy = json.loads(document)
    found = policy["Statement"]
    is_changed = False
    for statement in found if isinstance(found, list) else [found]:
        for element in _ELEMENTS:
            principal: Any = statement.get(element)
            if not isinstance(principal, dict) or "AWS" not in principal:
                continue
            names = principal["AWS"]
            new = [change(name) for name in names] if isinstance(names, list) else change(names)
            is_changed = is_changed or new != names
            principal["AWS"] = new
    return json.dumps(policy) if is_changed else None
