"""What a role's trust policy or a resource's policy says to the one who asks: whether its principals name it.

`authorizer` calls it. Pure; `policy` handles conditions and effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from aerodrome.identity.evaluation import Considered, Layer, read
from aerodrome.identity.policy.statements import (
    Effect,
    Mismatch,
    PolicyStatement,
    PrincipalElement,
    Request,
    StatementElement,
)
from aerodrome.model.principals import PolicyText, Principal, PrincipalKind

ARN_ACCOUNT = 4
"""The segment of an ARN that is its account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedPrincipal:
    """Somebody who asks with a token of an OIDC provider and has no keys of ours."""

    provider: str
    """The ARN of the OIDC provider in IAM, which trust policies name."""
    subject: str
    """The token's `sub`, for refusals."""

    @property
    def arn(self) -> str:
        """What refusals call the principal."""
        return f"{self.provider}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Somebody who signed nothing; only a policy that names everybody speaks of it."""

    arn: str = "anonymous"
    """What refusals call it."""


Asking = Principal | FederatedPrincipal | Anonymous


class Naming(IntEnum):
    """How closely a statement names who asks. If it names the account alone, identity policies decide."""

    NONE = 0
    ACCOUNT = 1
    ROLE = 2
    """By the role behind a session: boundaries and session policies still limit."""
    DIRECT = 3


@dataclass(frozen=True, slots=True)
class _Names:
    """What a principal may be called in a policy."""

    direct: frozenset[str]
    role: frozenset[str] = frozenset()
    account: frozenset[str] = frozenset()


def _names(asking: Principal) -> _Names:
    """The names of a principal. A role is one principal in all its sessions: its ARN or its unique id names it."""
    partition = asking.arn.split(":")[1] if asking.arn.startswith("arn:") else "aws"
    account = frozenset({asking.account, f"arn:{partition}:iam::{asking.account}:root"})
    if asking.kind is not PrincipalKind.ASSUMED_ROLE:
        return _Names(frozenset({asking.arn, asking.unique_id}), account=account)
    role = frozenset({asking.iam_arn, asking.unique_id.partition(":")[0]})
    return _Names(frozenset({asking.arn, asking.unique_id}), role, account)


def naming(principals: PrincipalElement, asking: Asking, effect: Effect) -> Naming:
    """How a statement's Principal or NotPrincipal names who asks."""
    if isinstance(asking, Anonymous):
        return Naming.DIRECT if principals.everyone is not principals.negated else Naming.NONE
    if isinstance(asking, FederatedPrincipal):
        named = asking.provider in principals.federated
        return _outside(principals, effect, named=named)
    if asking.kind is PrincipalKind.SERVICE:
        return _outside(principals, effect, named=asking.name in principals.service)
    names = _names(asking)
    return _left_out(principals, names, effect) if principals.negated else _named(principals, names)


def _outside(principals: PrincipalElement, effect: Effect, *, named: bool) -> Naming:
    """Services and federated principals: `*` lets none of them in, but does deny them."""
    if principals.negated:
        applies = not named and effect is Effect.DENY
    else:
        applies = named or (principals.everyone and effect is Effect.DENY)
    return Naming.DIRECT if applies else Naming.NONE


def _named(principals: PrincipalElement, names: _Names) -> Naming:
    listed = set(principals.aws)
    if principals.everyone or names.direct & listed:
        return Naming.DIRECT
    if names.role & listed:
        return Naming.ROLE
    return Naming.ACCOUNT if names.account & listed else Naming.NONE


def _left_out(principals: PrincipalElement, names: _Names, effect: Effect) -> Naming:
    """NotPrincipal: a deny spares who is listed with role and account; an allow reaches nobody who is listed at all."""
    listed = set(principals.aws)
    chain = [group for group in (names.direct, names.role, names.account) if group]
    hits = [bool(group & listed) for group in chain]
    spared = principals.everyone or (all(hits) if effect is Effect.DENY else any(hits))
    return Naming.NONE if spared else Naming.ACCOUNT


def consider(
    text: PolicyText, asking: Asking, request: Request, layer: Layer = Layer.TRUST
) -> tuple[list[Considered], Naming]:
    """Every statement of the policy compared with the request, and the closest naming that allows."""
    trace: list[Considered] = []
    closest = Naming.NONE
    for statement in read(text, layer).statements:
        close = naming(statement.principals, asking, statement.effect) if statement.principals else Naming.NONE
        mismatch = statement.mismatch(request) if close else _not_named(statement, asking)
        if mismatch is None and statement.effect is Effect.ALLOW:
            closest = max(closest, close)
        trace.append(Considered(layer=layer, source=text.source, statement=statement, mismatch=mismatch))
    return trace, closest


def _not_named(statement: PolicyStatement, asking: Asking) -> Mismatch:
    principals = statement.principals
    listed: Sequence[str] = (*principals.aws, *principals.service, *principals.federated) if principals else ()
    name = "NotPrincipal" if principals and principals.negated else "Principal"
    wanted = ", ".join([*(["*"] if principals and principals.everyone else []), *listed])
    return Mismatch(StatementElement.PRINCIPAL, f"{name} {wanted}", f"the principal {asking.arn}")


def same_account(asking: Asking, role_arn: str) -> bool:
    """Whether role and principal belong to one account; a federated principal belongs to its provider's."""
    arn = asking.provider if isinstance(asking, FederatedPrincipal) else None
    account = arn.split(":")[ARN_ACCOUNT] if arn else asking.account if isinstance(asking, Principal) else ""
    return role_arn.split(":")[ARN_ACCOUNT] == account
