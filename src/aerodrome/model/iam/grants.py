"""Which policies a principal has, read from a directory. Pure.

The ledger answers `identity`'s questions with it, and the API simulates with it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Holder, Role, User
from aerodrome.model.principals import Granted, PolicyText, Principal, PrincipalKind

DENY_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}'
"""In the place of a boundary that cannot be found: what limits must not vanish."""


def granted(directory: Directory, principal: Principal) -> Granted | None:
    """The policies of a user or of a role's session; None when it is not the one it was."""
    if principal.kind is PrincipalKind.USER:
        user = directory.users_by_id.get(principal.unique_id)
        return of_user(directory, user, principal) if user is not None and user.arn == principal.arn else None
    role = directory.roles_by_arn.get(principal.role_arn or "")
    if role is None or role.unique_id != principal.unique_id.partition(":")[0]:
        return None
    return _granted(directory, role, of_holder(directory, role), principal)


def of_user(directory: Directory, user: User, principal: Principal) -> Granted:
    """A user's own policies and those of its groups."""
    groups = [text for group in directory.groups_of(user) for text in of_holder(directory, group)]
    return _granted(directory, user, [*of_holder(directory, user), *groups], principal)


def of_holder(directory: Directory, holder: Holder) -> list[PolicyText]:
    """What is attached to, and stands within, one user, group or role."""
    whose = f"{type(holder).__name__.lower()} {holder.name}"
    managed = [directory.policies_by_arn[arn] for arn in holder.attached if arn in directory.policies_by_arn]
    return [
        *(
            PolicyText(source=f"managed policy {each.name} of {whose}", document=each.document, arn=each.arn)
            for each in managed
        ),
        *(
            PolicyText(source=f"inline policy {name} of {whose}", document=document)
            for name, document in holder.inline.items()
        ),
    ]


def trust(directory: Directory, role_arn: str) -> PolicyText | None:
    """The trust policy of a role."""
    role = directory.roles_by_arn.get(role_arn)
    return None if role is None else PolicyText(source=f"trust policy of role {role.name}", document=role.trust)


def _granted(directory: Directory, holder: User | Role, own: Iterable[PolicyText], principal: Principal) -> Granted:
    numbered = enumerate(principal.session_policies, start=1)
    return Granted(
        identity=tuple(own),
        boundary=_boundary(directory, holder),
        session=tuple(PolicyText(source=f"session policy {number}", document=text) for number, text in numbered),
    )


def _boundary(directory: Directory, holder: User | Role) -> PolicyText | None:
    if holder.boundary is None:
        return None
    whose = f"{type(holder).__name__.lower()} {holder.name}"
    found = directory.policies_by_arn.get(holder.boundary)
    if found is None:
        return PolicyText(source=f"permissions boundary {holder.boundary} of {whose}", document=DENY_ALL)
    return PolicyText(source=f"permissions boundary {found.name} of {whose}", document=found.document)


def user_principal(user: User, account: str) -> Principal:
    """A user as the principal that signs with its keys."""
    return Principal(
        kind=PrincipalKind.USER,
        account=account,
        arn=user.arn,
        unique_id=user.unique_id,
        name=user.name,
        tags=user.tags,
    )


def session_principal(role: Role, directory: Directory, session_name: str) -> Principal:
    """A session of a role, as yet without policies, tags and times of its own."""
    return Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        account=directory.account,
        arn=f"arn:{directory.partition}:sts::{directory.account}:assumed-role/{role.name}/{session_name}",
        unique_id=f"{role.unique_id}:{session_name}",
        name=role.name,
        session_name=session_name,
        role_arn=role.arn,
        tags=role.tags,
    )
