"""Asks IAM whether an operation is allowed, by the table in `permissions`.

A door calls `judge` after it has checked the form of the input, and before it looks at anything else: a refusal is the
same whether or not an environment exists. `judge` blocks for one look into the ledger, for the environment's tags. The
gateway asks `still_granted` as long as a session lasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aerodrome.errors import CallerError
from aerodrome.identity.authorizer import Decision, Request, principal_context, refusal
from aerodrome.model import arns
from aerodrome.model.environment import Environment
from aerodrome.model.principals import Principal
from aerodrome.model.roles import AirflowRole
from aerodrome.model.spec import Document
from aerodrome.operations import permissions
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.permissions import Scope

Context = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """IAM's answer about one request."""

    action: str
    resource: str
    allowed: bool
    sentence: str
    """Why; for the audit log, not for the caller."""
    refusal: str = ""
    """What a refused caller is told, in AWS's words."""
    role: str | None = None
    """The Airflow role that was granted, for actions on roles."""


def judge(
    deps: Dependencies,
    operation: str,
    given: Document,
    principal: Principal,
    known: Context,
    *,
    wanted: str | None = None,
) -> Verdict:
    """IAM's answer; `known` are the global condition keys, `wanted` is the one role that the caller wants (None = any).

    Raises:
        CallerError: `wanted` is none of Airflow's roles.
    """
    permission = permissions.TABLE[operation]
    action = permissions.action(operation)
    if permission.scope is Scope.ROLE:
        return _on_role(deps, action, given["Name"], principal, known, wanted)
    if permission.scope is Scope.ANYTHING:
        return _on(deps, principal, Request(action=action, resource="*", context=known))
    resource = permissions.environment_arn(given, region=deps.settings.region, account=deps.settings.account_id)
    context = {**known, **permissions.tag_context(given, _tags(deps, operation, resource))}
    needed = [Request(action=action, resource=resource, context=context)]
    if permission.tags and given.get("Tags"):
        needed.append(replace(needed[0], action=permissions.action(permissions.TAG_RESOURCE)))
    if permission.passes_role and "ExecutionRoleArn" in given:
        needed.append(_passing(given["ExecutionRoleArn"], resource, known))
    return _on_all(deps, principal, needed)


def still_granted(deps: Dependencies, principal: Principal, environment: Environment, role: str, address: str) -> bool:
    """Whether IAM still grants a web login with this Airflow role, to a client at this IP address. May block."""
    action = permissions.action(permissions.WEB_LOGIN)
    region, account = deps.settings.region, deps.settings.account_id
    resource = arns.airflow_role(region=region, account=account, environment=environment.name, role=role)
    context = principal_context(principal, now=deps.clock(), source_ip=address, secure=True)
    return deps.authorizer.decide(principal, Request(action=action, resource=resource, context=context)).allowed


def _on_all(deps: Dependencies, principal: Principal, needed: Sequence[Request]) -> Verdict:
    """The first request's verdict if all are allowed, else the first refusal."""
    verdicts = [_on(deps, principal, request) for request in needed]
    return next((each for each in verdicts if not each.allowed), verdicts[0])


def _on(deps: Dependencies, principal: Principal, request: Request) -> Verdict:
    return _verdict(principal, request, deps.authorizer.decide(principal, request))


def _on_role(
    deps: Dependencies, action: str, environment: str, principal: Principal, known: Context, wanted: str | None
) -> Verdict:
    """Grant the highest role that IAM allows, or only the wanted one; refuse a caller without any."""
    if wanted is not None and wanted not in list(AirflowRole):
        raise CallerError(f"Airflow has no role '{wanted[:64]}': choose one of {', '.join(AirflowRole)}.")
    place = {"region": deps.settings.region, "account": deps.settings.account_id, "environment": environment}
    if wanted is None:
        role, decision = deps.authorizer.highest_role(principal, **place, action=action, context=known)
    else:
        request = Request(action=action, resource=arns.airflow_role(**place, role=wanted), context=known)
        decision = deps.authorizer.decide(principal, request)
        role = wanted if decision.allowed else None
    resource = arns.airflow_role(**place, role=role or wanted or AirflowRole.PUBLIC)
    verdict = _verdict(principal, Request(action=action, resource=resource, context=known), decision)
    if role is None:
        # Airflow's own MwaaHook looks for the words "Airflow role" before it tries a web login instead.
        verdict = replace(verdict, refusal=f"{verdict.refusal}. No Airflow role was granted.")
    return replace(verdict, role=role)


def _passing(role_arn: str, environment_arn: str, known: Context) -> Request:
    """Asks whether the caller may pass the execution role to MWAA."""
    passing = {"iam:passedtoservice": (permissions.PASSED_TO,), "iam:associatedresourcearn": (environment_arn,)}
    return Request(action=permissions.PASS_ROLE, resource=role_arn, context={**known, **passing})


def _verdict(principal: Principal, request: Request, decision: Decision) -> Verdict:
    return Verdict(
        action=request.action,
        resource=request.resource,
        allowed=decision.allowed,
        sentence=decision.sentence,
        refusal="" if decision.allowed else refusal(principal, request, decision),
    )


def _tags(deps: Dependencies, operation: str, resource: str) -> Mapping[str, str]:
    """The tags of the environment that an action is about; an environment that is being created has none yet."""
    if operation == "CreateEnvironment":
        return {}
    found = deps.environments.get(arns.environment_name(resource) or "")
    return found.tags if found is not None and found.arn == resource else {}
