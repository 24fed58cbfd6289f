"""Whether a principal may do something: every request, role assumption and web login asks here.

The API and the gateway call it. It reads policies from an `IdentityStore`; `evaluation` and `trust` decide. Callers
take `Request`, `Decision` and `principal_context` from here too.
"""

from __future__ import annotations

from aerodrome.identity import evaluation, trust
from aerodrome.identity.evaluation import Considered, Decision, Layer
from aerodrome.identity.policy.patterns import Context
from aerodrome.identity.policy.statements import Effect, Request
from aerodrome.identity.request_context import principal_context
from aerodrome.identity.store import IdentityStore
from aerodrome.identity.trust import Anonymous, Asking, FederatedPrincipal, Naming
from aerodrome.model import arns
from aerodrome.model.principals import Granted, PolicyText, Principal
from aerodrome.model.roles import AirflowRole

__all__ = [
    "Anonymous",
    "Authorizer",
    "Considered",
    "Decision",
    "FederatedPrincipal",
    "Layer",
    "Request",
    "principal_context",
    "refusal",
]


class Authorizer:
    """Asks a store for policies and says what they allow."""

    def __init__(self, store: IdentityStore) -> None:
        self._store = store

    def decide(self, principal: Principal, request: Request) -> Decision:
        """Whether the principal may do what the request says."""
        granted = self._store.granted(principal)
        return evaluation.evaluate(granted, request) if granted is not None else evaluation.gone(request)

    def decide_on(
        self, asking: Principal | Anonymous, request: Request, policy: PolicyText | None, *, required: bool = False
    ) -> Decision:
        """Whether somebody may do something to a resource of our account that may have a `policy` of its own.

        Either the resource's policy allows it by naming who asks, or the asker's own policies do; a deny in one of them
        counts. `required`: the resource's policy must name the asker or its account, as a KMS key's must.
        """
        if isinstance(asking, Anonymous):
            granted: Granted | None = Granted(identity=())
        else:
            granted = self._store.granted(asking)
        if granted is None:
            return evaluation.gone(request)
        if policy is None:
            return evaluation.evaluate(granted, request)
        return _on_resource(policy, asking, granted, request, required=required)

    def access_denied(self, principal: Principal, request: Request) -> str:
        """The refusal for a principal, in AWS's words."""
        return refusal(principal, request, self.decide(principal, request))

    def highest_role(
        self, principal: Principal, *, region: str, account: str, environment: str, action: str, context: Context
    ) -> tuple[str | None, Decision]:
        """The highest Airflow role on which the action is allowed, and why; else None and the lowest role's refusal."""
        for role in AirflowRole:
            resource = arns.airflow_role(region=region, account=account, environment=environment, role=role)
            decision = self.decide(principal, Request(action=action, resource=resource, context=context))
            if decision.allowed:
                return role, decision
        return None, decision

    def may_assume(self, principal: Asking, role_arn: str, action: str, context: Context) -> Decision:
        """Whether the role's trust policy and the asker's own policies let the asker assume it, as AWS decides.

        A trust policy that names the asker itself suffices within one account. One that names only the account, or an
        asker of another account, needs an identity-based policy too.
        """
        request = Request(action=action, resource=role_arn, context=context)
        text = self._store.trust(role_arn)
        if text is None:
            return evaluation.missing(Layer.TRUST, request, [])
        granted = self._store.granted(principal) if isinstance(principal, Principal) else Granted(identity=())
        if granted is None:
            return evaluation.gone(request)
        return _assumption(text, principal, granted, request)


def _assumption(text: PolicyText, asking: Asking, granted: Granted, request: Request) -> Decision:
    """What a trust policy and the asker's own policies say together."""
    trace, naming = trust.consider(text, asking, request)
    own = evaluation.consider_granted(granted, request)
    both = [*trace, *own]
    denying = evaluation.first(both, Effect.DENY)
    if denying:
        return evaluation.denied(denying, request, both)
    trusting = evaluation.first(trace, Effect.ALLOW)
    if trusting is None:
        return evaluation.missing(Layer.TRUST, request, both)
    if naming is Naming.ACCOUNT or not trust.same_account(asking, request.resource):
        return evaluation.within(granted, request, both)
    if naming is Naming.ROLE:
        return evaluation.within(granted, request, both, trusting=trusting)
    return evaluation.allowed([trusting], request, both)


def _on_resource(
    policy: PolicyText, asking: Principal | Anonymous, granted: Granted, request: Request, *, required: bool
) -> Decision:
    """What a resource's policy and the asker's own policies say together, within one account."""
    trace, naming = trust.consider(policy, asking, request, Layer.RESOURCE)
    both = [*trace, *evaluation.consider_granted(granted, request)]
    denying = evaluation.first(both, Effect.DENY)
    if denying:
        return evaluation.denied(denying, request, both)
    allowing = evaluation.first(trace, Effect.ALLOW)
    if allowing is not None and naming is Naming.DIRECT:
        return evaluation.allowed([allowing], request, both)
    if allowing is not None and naming is Naming.ROLE:
        return evaluation.within(granted, request, both, trusting=allowing)
    if allowing is None and required:
        return evaluation.missing(Layer.RESOURCE, request, both)
    return evaluation.within(granted, request, both)


def refusal(principal: Asking, request: Request, decision: Decision) -> str:
    """AWS's words for a decision that refuses."""
    return (
        f"User: {principal.arn} is not authorized to perform: {request.action} "
        f"on resource: {request.resource} {decision.because}"
    ).rstrip()
