"""AssumeRole and AssumeRoleWithWebIdentity: the role's trust policy decides, and its limits apply.

A role that does not exist is refused with the same words as a role that trusts nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from anyio import to_thread

from aerodrome.api.iam import shapes
from aerodrome.api.query.call import Call, Context, Output
from aerodrome.api.sts import sessions, web_identity
from aerodrome.identity import authorizer, execution_role
from aerodrome.identity.authorizer import Decision, FederatedPrincipal, Request
from aerodrome.model import arns
from aerodrome.model.iam.entities import Role
from aerodrome.model.iam.errors import ACCESS_DENIED, IamError
from aerodrome.model.principals import Principal, PrincipalKind

ASSUME, TAG = "sts:AssumeRole", "sts:TagSession"
WITH_WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"


async def assume_role(call: Call) -> Output:
    return await to_thread.run_sync(_assume_role, call)


def _assume_role(call: Call) -> Output:
    tags = shapes.tags_of(call.given)
    context = {**call.context, **_session_context(call), **_tag_context(tags)}
    if "ExternalId" in call.given:
        context["sts:externalid"] = (call.given["ExternalId"],)
    for action in (ASSUME, TAG) if tags else (ASSUME,):
        if call.caller.kind is PrincipalKind.SERVICE:
            _admit_service(call, action, context)
        else:
            _admit(call, [call.caller], action, context)
    sessions.refuse_unoffered(call)
    session, issued = sessions.begin(call, _role(call), tags)
    return sessions.answer(session, issued)


async def assume_role_with_web_identity(call: Call) -> Output:
    """Answer the one operation without a signature: the token says who asks."""
    given, providers = call.given, list(call.iam.providers.values())
    call.resource = given["RoleArn"]
    found = await web_identity.verified(given["WebIdentityToken"], providers, call.deps.issuers, now=call.now)
    asking = FederatedPrincipal(provider=found.provider.arn, subject=found.subject)
    call.federated = asking.arn
    context = {**call.context, **_session_context(call), **_tag_context(found.tags), **found.context}
    for action in (WITH_WEB_IDENTITY, TAG) if found.tags else (WITH_WEB_IDENTITY,):
        _admit(call, [asking], action, context)
    session, issued = sessions.begin(call, _role(call), found.tags)
    return {
        **sessions.answer(session, issued),
        "SubjectFromWebIdentityToken": found.subject,
        "Provider": found.provider.arn,
        "Audience": found.audiences[0],
    }


def _session_context(call: Call) -> dict[str, tuple[str, ...]]:
    """The condition keys of the requested session."""
    found: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (call.given["RoleSessionName"],)}
    if "DurationSeconds" in call.given:
        found["sts:durationseconds"] = (str(call.given["DurationSeconds"]),)
    role = call.iam.roles_by_arn.get(call.given["RoleArn"])
    for key, value in (role.tags if role else {}).items():
        found[f"aws:resourcetag/{key.lower()}"] = (value,)
        found[f"iam:resourcetag/{key.lower()}"] = (value,)
    return found


def _tag_context(tags: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The condition keys of the requested session's tags."""
    found = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
    return {**found, "aws:tagkeys": tuple(tags)} if tags else {}


def _admit_service(call: Call, action: str, context: Context) -> None:
    """An environment's own service gets only the execution role of its environment."""
    caller, role_arn = call.caller, call.given["RoleArn"]
    name = caller.environment or ""
    if role_arn not in call.deps.execution_roles_of(name):
        call.resource = role_arn
        call.sentence = f"{role_arn} is not the execution role of environment {name}."
        raise IamError(ACCESS_DENIED, _refused(caller, action, role_arn))
    account = call.iam.account
    environment = arns.environment(region=call.deps.region, account=account, name=name)
    about: Context = {**context, **execution_role.on_behalf_of(environment, account)}
    _admit(
        call,
        [replace(caller, name=service, arn=service, unique_id=service) for service in execution_role.SERVICES],
        action,
        about,
    )


def _admit(call: Call, candidates: Iterable[Principal | FederatedPrincipal], action: str, context: Context) -> None:
    """Note what the trust policy says. All candidates are names of the caller; the policy must trust one of them.

    Raises:
        IamError: AccessDenied, in AWS's words.
    """
    role_arn = call.given["RoleArn"]
    decided = [(asking, call.deps.authorizer.may_assume(asking, role_arn, action, context)) for asking in candidates]
    asking, decision = _deciding(decided)
    call.resource, call.allowed, call.sentence = role_arn, decision.allowed, decision.sentence
    if not decision.allowed:
        request = Request(action=action, resource=role_arn, context=context)
        raise IamError(ACCESS_DENIED, authorizer.refusal(asking, request, decision))


def _deciding(
    decided: list[tuple[Principal | FederatedPrincipal, Decision]],
) -> tuple[Principal | FederatedPrincipal, Decision]:
    """An explicit deny of any name counts; otherwise an allow of any name; otherwise the first refusal."""
    denied = [each for each in decided if each[1].explicit]
    allowed = [each for each in decided if each[1].allowed]
    return (denied or allowed or decided)[0]


def _role(call: Call) -> Role:
    """The role. It existed when its trust policy was asked; if it was removed since then, it is refused too."""
    found = call.iam.roles_by_arn.get(call.given["RoleArn"])
    if found is None:
        raise IamError(ACCESS_DENIED, "The role does not exist any more.")
    return found


def _refused(caller: Principal, action: str, role_arn: str) -> str:
    return (
        f"User: {caller.arn} is not authorized to perform: {action} on resource: {role_arn} "
        f"because no role trust policy allows the {action} action"
    )
