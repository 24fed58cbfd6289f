"""SimulatePrincipalPolicy and SimulateCustomPolicy: IAM's answer, by the same evaluation that answers real requests.

There is one result for each action on each resource. Service control policies and resource policies do not exist here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from aerodrome.api.iam import paging
from aerodrome.api.query.call import Call, Context, Output
from aerodrome.identity import evaluation
from aerodrome.identity.errors import MalformedPolicyError
from aerodrome.identity.evaluation import Considered, Decision, Layer
from aerodrome.identity.policy import grammar
from aerodrome.identity.policy.statements import Effect, Request, StatementElement
from aerodrome.identity.request_context import principal_context
from aerodrome.model.iam import grants
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Group, Holder, User
from aerodrome.model.iam.errors import INVALID_INPUT, NO_SUCH_ENTITY, IamError
from aerodrome.model.principals import Granted, PolicyText, Principal

MOST_RESULTS = 1000
"""Actions times resources that one call may name."""

MOST_CHARACTERS = 16 * 1024 * 1024
"""Characters of policies that are evaluated for one page, counted for each result: a second's work. More = a shorter
page."""

UNOFFERED = ("ResourcePolicy", "OrderedOrganizationPolicyInputList", "PolicyExclusionList")

SESSION_NAME = "simulation"
"""The name of the session that a role is simulated with."""

_SOURCE = re.compile(r"(?P<form>managed|inline) policy (?P<name>\S+) of (?P<kind>user|group|role) ")


def simulate_principal_policy(call: Call) -> Output:
    """What the policies of a user, group or role allow, together with those that the request adds."""
    holder = _holder(call.iam, call.given["PolicySourceArn"])
    own, known = _of(call, holder)
    boundary = _boundary(call.given) or own.boundary
    granted = Granted(identity=(*own.identity, *_input(call.given)), boundary=boundary)
    return _simulated(call, granted, known)


def simulate_custom_policy(call: Call) -> Output:
    """What the given policies allow."""
    granted = Granted(identity=_input(call.given), boundary=_boundary(call.given))
    return _simulated(call, granted, {})


def _holder(iam: Directory, arn: str) -> Holder:
    for holder in iam.holders():
        if holder.arn == arn:
            return holder
    raise IamError(NO_SUCH_ENTITY, f"The entity with ARN {arn} cannot be found: name a user, group or role.")


def _of(call: Call, holder: Holder) -> tuple[Granted, Context]:
    """What a holder is granted, and the condition keys that it brings."""
    if isinstance(holder, Group):
        return Granted(identity=tuple(grants.of_holder(call.iam, holder))), {}
    principal: Principal
    if isinstance(holder, User):
        principal = grants.user_principal(holder, call.iam.account)
    else:
        principal = grants.session_principal(holder, call.iam, SESSION_NAME)
    found = grants.granted(call.iam, principal) or Granted(identity=())
    return found, principal_context(principal, now=call.now, source_ip="", secure=True)


def _input(given: Mapping[str, Any]) -> tuple[PolicyText, ...]:
    texts = enumerate(given.get("PolicyInputList", ()), start=1)
    return tuple(_checked(PolicyText(source=f"PolicyInputList.{number}", document=text)) for number, text in texts)


def _boundary(given: Mapping[str, Any]) -> PolicyText | None:
    texts: Sequence[str] = given.get("PermissionsBoundaryPolicyInputList", ())
    if len(texts) > 1:
        raise IamError(INVALID_INPUT, "PermissionsBoundaryPolicyInputList takes one policy only.")
    return _checked(PolicyText(source="PermissionsBoundaryPolicyInputList.1", document=texts[0])) if texts else None


def _checked(text: PolicyText) -> PolicyText:
    try:
        grammar.parse(text.document)
    except MalformedPolicyError as error:
        raise IamError(INVALID_INPUT, f"Invalid value for {text.source}: {error.reason}") from error
    return text


def _simulated(call: Call, granted: Granted, known: Context) -> Output:
    given = call.given
    for member in UNOFFERED:
        if given.get(member):
            raise IamError(INVALID_INPUT, f"{member} is not offered by this release of Aerodrome: leave it out.")
    context = {**known, **_entries(given)}
    resources = given.get("ResourceArns") or ["*"]
    pairs = [(action, resource) for action in given["ActionNames"] for resource in resources]
    if len(pairs) > MOST_RESULTS:
        sentence = f"{len(pairs)} results were asked for: simulate {MOST_RESULTS} at most with one call."
        raise IamError(INVALID_INPUT, sentence)
    page = {**given, "MaxItems": _fitting(granted, given.get("MaxItems", paging.PAGE))}
    shown, tail = paging.page(enumerate(pairs), page, lambda pair: f"{pair[0]:06}")
    return {"EvaluationResults": [_result(call.iam, granted, context, *pair) for _, pair in shown], **tail}


def _fitting(granted: Granted, wanted: int) -> int:
    """How many results a page may have: a simulation must not keep other requests waiting."""
    texts = [*granted.identity, *([granted.boundary] if granted.boundary else [])]
    return max(1, min(wanted, MOST_CHARACTERS // (1 + sum(len(text.document) for text in texts))))


def _entries(given: Mapping[str, Any]) -> Context:
    return {
        entry["ContextKeyName"].lower(): tuple(entry.get("ContextKeyValues", ()))
        for entry in given.get("ContextEntries", ())
        if "ContextKeyName" in entry
    }


def _result(iam: Directory, granted: Granted, context: Context, action: str, resource: str) -> Output:
    decision = evaluation.evaluate(granted, Request(action=action, resource=resource, context=context))
    output: Output = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": _word(decision),
        "MatchedStatements": [
            _statement(found, iam.aws_policies) for found in decision.trace if found.mismatch is None
        ],
        "MissingContextValues": _missing(decision.trace, context),
    }
    if granted.boundary is not None:
        output["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": _bounded(decision.trace)}
    return output


def _word(decision: Decision) -> str:
    if decision.allowed:
        return "allowed"
    return "explicitDeny" if decision.explicit else "implicitDeny"


def _bounded(trace: Sequence[Considered]) -> bool:
    of_boundary = [found for found in trace if found.layer is Layer.BOUNDARY]
    denies = evaluation.first(of_boundary, Effect.DENY) is not None
    return not denies and evaluation.first(of_boundary, Effect.ALLOW) is not None


def _statement(found: Considered, of_aws: Collection[str]) -> Output:
    match = _SOURCE.match(found.source)
    if match is None:
        return {"SourcePolicyId": found.source, "SourcePolicyType": "none"}
    managed = "aws-managed" if found.arn in of_aws else "user-managed"
    kind = match["kind"] if match["form"] == "inline" else managed
    return {"SourcePolicyId": match["name"], "SourcePolicyType": kind}


def _missing(trace: Sequence[Considered], context: Context) -> list[str]:
    """Condition keys that decided nothing, because the request gave no value for them."""
    about = [found for found in trace if found.mismatch is None or found.mismatch.part is StatementElement.CONDITION]
    keys = {condition.key for found in about for condition in found.statement.conditions}
    return sorted(key for key in keys if key.lower() not in context)
