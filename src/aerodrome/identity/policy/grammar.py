"""Reads policy documents by IAM's grammar. A refusal says why a document is no policy, in IAM's words if it has any.

IAM's and STS's API call it before anything is stored, and `evaluation` on what was stored. The API checks the sizes
that each kind of policy may have; here only the bound for all policies is checked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Any

from aerodrome.identity.errors import MalformedPolicyError
from aerodrome.identity.policy import conditions, document, patterns
from aerodrome.identity.policy.conditions import Condition
from aerodrome.identity.policy.patterns import Pattern
from aerodrome.identity.policy.statements import Effect, PolicyDocument, PolicyStatement, PrincipalElement

VERSIONS = ("2008-10-17", "2012-10-17")
WITH_VARIABLES = "2012-10-17"

_ELEMENTS = {"Version", "Id", "Statement"}
_OF_STATEMENT = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
_ACTION = re.compile(r"\*|(\*|[A-Za-z0-9-]+):[A-Za-z0-9*?_.-]+")
_SID = re.compile(r"[0-9A-Za-z]*")
_ARN_HEAD = re.compile(r"arn:(aws(-[a-z-]+)?|\*):[a-z0-9-]+(:.*)?")
_AWS_PRINCIPAL = re.compile(
    r"[0-9]{12}|[A-Z0-9]{16,128}|arn:aws(-[a-z-]+)?:(iam|sts)::[0-9]{12}:"
    r"(root|(user|role|assumed-role|federated-user)/[\w+=,.@/-]+)",
    re.ASCII,
)
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
_FEDERATED = re.compile(r"arn:aws(-[a-z-]+)?:iam::[0-9]{12}:(oidc|saml)-provider/\S+|[a-z0-9-]+(\.[a-z0-9-]+)+")


class Grammar(StrEnum):
    """The kinds of policies that differ in their elements."""

    IDENTITY = "identity"
    """Names resources and no principal."""
    TRUST = "trust"
    """Names principals and no resource, and speaks of sts alone."""
    RESOURCE = "resource"
    """Names both."""


_KEPT = 16 * 1024
"""Characters of the longest document whose parsed form is cached; no store has longer ones."""


def parse(text: str) -> PolicyDocument:
    """An identity-based policy, a permissions boundary or a session policy.

    Raises:
        MalformedPolicyError: it is none; `reason` says why.
    """
    return _parsed(text, Grammar.IDENTITY)


def parse_trust(text: str) -> PolicyDocument:
    """The trust policy of a role.

    Raises:
        MalformedPolicyError: it is none; `reason` says why.
    """
    return _parsed(text, Grammar.TRUST)


def parse_resource(text: str) -> PolicyDocument:
    """The policy of a resource, such as a bucket.

    Raises:
        MalformedPolicyError: it is none; `reason` says why.
    """
    return _parsed(text, Grammar.RESOURCE)


def _parsed(text: str, kind: Grammar) -> PolicyDocument:
    return _kept(text, kind) if len(text) <= _KEPT else _policy(text, kind)


@lru_cache(maxsize=2048)
def _kept(text: str, kind: Grammar) -> PolicyDocument:
    return _policy(text, kind)


def _policy(text: str, kind: Grammar) -> PolicyDocument:
    found = document.read(text)
    _known(found, _ELEMENTS)
    version = document.text(found.get("Version", VERSIONS[0]), "Version")
    if version not in VERSIONS:
        raise MalformedPolicyError(f"Syntax errors in policy: Version must be one of {', '.join(VERSIONS)}.")
    identifier = document.text(found.get("Id", ""), "Id")
    if "Statement" not in found:
        raise MalformedPolicyError("Missing required field Statement")
    given = found["Statement"] if isinstance(found["Statement"], list) else [found["Statement"]]
    if not given:
        raise MalformedPolicyError("Syntax errors in policy: Statement is empty.")
    statements = []
    for number, item in enumerate(given, start=1):
        try:
            statements.append(_statement(number, item, kind, variables=version == WITH_VARIABLES))
        except MalformedPolicyError as error:
            raise MalformedPolicyError(f"{error.reason} (statement {number})") from None
    named = [statement.sid for statement in statements if statement.sid]
    if len(set(named)) < len(named):
        raise MalformedPolicyError("Statement IDs (SID) in a single policy must be unique.")
    return PolicyDocument(version=version, id=identifier, statements=tuple(statements))


def _known(found: Mapping[str, Any], elements: set[str]) -> None:
    unknown = found.keys() - elements
    if unknown:
        raise MalformedPolicyError(f"Syntax errors in policy: unknown element {min(unknown)[:64]!r}.")


def _statement(number: int, found: object, kind: Grammar, *, variables: bool) -> PolicyStatement:
    if not isinstance(found, dict):
        raise MalformedPolicyError("Syntax errors in policy: a statement must be a JSON object.")
    _known(found, _OF_STATEMENT)
    actions, not_action = _actions(found, kind)
    resources, not_resource = _resources(found, kind, variables=variables)
    return PolicyStatement(
        number=number,
        sid=_sid(found, kind),
        effect=_effect(found),
        actions=actions,
        not_action=not_action,
        resources=resources,
        not_resource=not_resource,
        conditions=_conditions(found.get("Condition", {}), variables=variables),
        principals=_principals(found, kind),
    )


def _sid(found: Mapping[str, Any], kind: Grammar) -> str:
    sid = document.text(found.get("Sid", ""), "Sid")
    if not _SID.fullmatch(sid) and kind is not Grammar.RESOURCE:  # services take others; KMS's own has blanks
        raise MalformedPolicyError(
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression "
            "[0-9A-Za-z]*"
        )
    return sid


def _effect(found: Mapping[str, Any]) -> Effect:
    if "Effect" not in found:
        raise MalformedPolicyError("Missing required field Effect")
    effect = document.text(found["Effect"], "Effect")
    if effect not in set(Effect):
        raise MalformedPolicyError(f"Invalid effect: {effect[:64]}")
    return Effect(effect)


def _either(found: Mapping[str, Any], name: str) -> tuple[object, bool] | None:
    """The value of an element or of its Not form, and whether it is the Not form; None when there is neither."""
    negated = f"Not{name}"
    if name in found and negated in found:
        raise MalformedPolicyError(f"Syntax errors in policy: {name} and {negated} exclude each other.")
    if name in found:
        return found[name], False
    return (found[negated], True) if negated in found else None


def _actions(found: Mapping[str, Any], kind: Grammar) -> tuple[tuple[Pattern, ...], bool]:
    either = _either(found, "Action")
    if either is None or either[0] == []:
        raise MalformedPolicyError("Policy statement must contain actions.")
    actions = document.texts(either[0], "Action")
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise MalformedPolicyError(
                f"Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.: {action[:64]!r}."
            )
        if kind is Grammar.TRUST and not action.lower().startswith("sts:"):
            raise MalformedPolicyError("AssumeRole policy may only specify STS AssumeRole actions.")
    return tuple(patterns.parse(action.lower(), variables=False) for action in actions), either[1]


def _resources(found: Mapping[str, Any], kind: Grammar, *, variables: bool) -> tuple[tuple[Pattern, ...], bool]:
    either = _either(found, "Resource")
    if kind is Grammar.TRUST:
        if either is not None:
            raise MalformedPolicyError("Has prohibited field Resource")
        return (), False
    if either is None or either[0] == []:
        raise MalformedPolicyError("Policy statement must contain resources.")
    return tuple(_resource(text, variables=variables) for text in document.texts(either[0], "Resource")), either[1]


def _resource(text: str, *, variables: bool) -> Pattern:
    if text != "*":
        head, *rest = text.split(":", patterns.ARN_SEGMENTS - 1)
        if head != "arn" or not rest:
            raise MalformedPolicyError(f'Resource {text[:128]} must be in ARN format or "*".')
        if not _ARN_HEAD.fullmatch(text):
            raise MalformedPolicyError(
                f"Resource vendor must be fully qualified and cannot contain regexes: {text[:128]!r}."
            )
        if variables and "${" in ":".join(rest[: patterns.ARN_SEGMENTS - 2]):
            raise MalformedPolicyError(f"Policy variables may stand only after the fifth colon of {text[:128]!r}.")
    return patterns.parse(text, variables=variables)


def _conditions(block: object, *, variables: bool) -> tuple[Condition, ...]:
    if not isinstance(block, dict):
        raise MalformedPolicyError("Syntax errors in policy: Condition must be a JSON object.")
    found = []
    for operator, keys in block.items():
        if not isinstance(keys, dict):
            raise MalformedPolicyError(f"Syntax errors in policy: {operator[:64]!r} must hold condition keys.")
        for key, value in keys.items():
            document.text(key, "a condition key")
            values = tuple(_compared(item) for item in (value if isinstance(value, list) else [value]))
            found.append(conditions.parse(operator, key, values, variables=variables))
    return tuple(found)


def _compared(value: object) -> str:
    """A value of a condition: texts, numbers and booleans are all compared as texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return document.text(str(value) if isinstance(value, document.Number) else value, "a condition's value")


def _principals(found: Mapping[str, Any], kind: Grammar) -> PrincipalElement | None:
    either = _either(found, "Principal")
    if kind is Grammar.IDENTITY:
        if either is not None:
            raise MalformedPolicyError("Policy document should not specify a principal.")
        return None
    if either is None:
        raise MalformedPolicyError("Missing required field Principal")
    value, negated = either
    if value == "*":
        return PrincipalElement(everyone=True, negated=negated)
    if not isinstance(value, dict) or not value:
        raise MalformedPolicyError("Syntax errors in policy: Principal must be * or name principals by their kind.")
    _known(value, {"AWS", "Service", "Federated"})
    named = {type_: document.texts(names, "Principal") for type_, names in value.items()}
    for type_, form in (("AWS", _AWS_PRINCIPAL), ("Service", _SERVICE), ("Federated", _FEDERATED)):
        for name in named.get(type_, ()):
            if not form.fullmatch(name) and not (type_ == "AWS" and name == "*"):
                raise MalformedPolicyError(f'Invalid principal in policy: "{type_}":"{name[:128]}"')
    if not any(named.values()):
        raise MalformedPolicyError("Syntax errors in policy: Principal names nobody.")
    aws = named.get("AWS", ())
    return PrincipalElement(
        everyone="*" in aws,
        aws=tuple(name for name in aws if name != "*"),
        service=named.get("Service", ()),
        federated=named.get("Federated", ()),
        negated=negated,
    )
