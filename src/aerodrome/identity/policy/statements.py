"""Policies as read, and how one statement applies to one request: it matches, or names the first thing that does not.

`grammar` makes them, `evaluation` asks them. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from aerodrome.identity.policy import patterns
from aerodrome.identity.policy.conditions import Condition
from aerodrome.identity.policy.patterns import Context, Pattern


class Effect(StrEnum):
    """What a statement does when it matches."""

    ALLOW = "Allow"
    DENY = "Deny"


class StatementElement(IntEnum):
    """The element of a statement that did not match; the later in this order, the nearer the statement came."""

    PRINCIPAL = 1
    ACTION = 2
    RESOURCE = 3
    CONDITION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of IAM."""

    action: str
    """Such as `airflow:GetEnvironment`."""
    resource: str
    """An ARN, or `*` for actions on no particular resource."""
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalElement:
    """The Principal or NotPrincipal element of a trust policy."""

    everyone: bool = False
    aws: tuple[str, ...] = ()
    """ARNs, account numbers and unique ids."""
    service: tuple[str, ...] = ()
    federated: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why a statement says nothing about a request."""

    part: StatementElement
    wanted: str
    """What the statement says: the element and its patterns, or the condition."""
    found: str
    """What the request has."""

    @property
    def sentence(self) -> str:
        return f"{self.wanted} does not match {self.found}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyStatement:
    """One statement of a policy."""

    number: int
    """Its place in the policy, from 1."""
    sid: str
    """Empty when it has none."""
    effect: Effect
    actions: tuple[Pattern, ...]
    """In lower case: actions are compared without regard to case."""
    not_action: bool
    resources: tuple[Pattern, ...]
    """Empty in a trust policy."""
    not_resource: bool
    conditions: tuple[Condition, ...]
    principals: PrincipalElement | None
    """None but in a trust policy."""

    @property
    def title(self) -> str:
        return f"statement {self.number} (Sid {self.sid})" if self.sid else f"statement {self.number}"

    def mismatch(self, request: Request) -> Mismatch | None:
        """The first of action, resource and conditions that does not match; None when the statement applies."""
        if not self._meets_action(request):
            return Mismatch(
                StatementElement.ACTION,
                _element("Action", self.actions, negated=self.not_action),
                f"the action {request.action}",
            )
        if self.resources and not self._meets_resource(request):
            name = _element("Resource", self.resources, negated=self.not_resource)
            return Mismatch(StatementElement.RESOURCE, name, f"the resource {request.resource}")
        allows = self.effect is Effect.ALLOW
        for condition in self.conditions:
            if not condition.holds(request.context, allows=allows):
                return _unmet(condition, request.context)
        return None

    def _meets_action(self, request: Request) -> bool:
        action = request.action.lower()
        return _one_matches(self.actions, request.context, action, patterns.matches) is not self.not_action

    def _meets_resource(self, request: Request) -> bool:
        context = request.context
        if self.effect is Effect.DENY and any(pattern.is_unknown(context) for pattern in self.resources):
            return True
        leaves_out = self.not_resource and self.effect is Effect.ALLOW
        if leaves_out and any(pattern.form(context) is None for pattern in self.resources):
            return False  # nobody knows what a variable without a value would exclude, so nothing is allowed
        return _one_matches(self.resources, context, request.resource, patterns.arn_matches) is not self.not_resource


def _one_matches(wanted: tuple[Pattern, ...], context: Context, text: str, matches: Callable[[str, str], bool]) -> bool:
    for pattern in wanted:
        form = pattern.form(context)
        if form is not None and matches(form, text):
            return True
    return False


_SHOWN = 5
"""Patterns and values named in a sentence; a policy may have hundreds."""


def _listed(texts: tuple[str, ...]) -> str:
    shown = ", ".join(texts[:_SHOWN])
    return f"{shown} and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else shown


def _element(name: str, wanted: tuple[Pattern, ...], *, negated: bool) -> str:
    return f"{'Not' if negated else ''}{name} {_listed(tuple(pattern.text for pattern in wanted))}"


def _unmet(condition: Condition, context: Context) -> Mismatch:
    wanted = f"{condition.operator} {condition.key} {_listed(tuple(value.text for value in condition.values))}"
    found = context.get(condition.key.lower(), ())
    if found is patterns.UNKNOWN:
        unknown = f"a request of which nobody here can tell its {condition.key}"
        return Mismatch(StatementElement.CONDITION, f"the condition {wanted}", unknown)
    return Mismatch(
        StatementElement.CONDITION,
        f"the condition {wanted}",
        f"the request's {condition.key} {_listed(found)}" if found else f"a request without {condition.key}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """A whole policy, valid by IAM's grammar."""

    version: str
    id: str
    statements: tuple[PolicyStatement, ...]
