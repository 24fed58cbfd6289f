"""What policies together decide about one request: an explicit deny first, then each layer that limits must allow.

`authorizer` calls it with what a store granted; SimulatePrincipalPolicy may call it with policies of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aerodrome.errors import BrokenError
from aerodrome.identity.errors import MalformedPolicyError
from aerodrome.identity.policy import grammar
from aerodrome.identity.policy.statements import Effect, Mismatch, PolicyDocument, PolicyStatement, Request
from aerodrome.model.principals import Granted, PolicyText


class Layer(StrEnum):
    """The kinds of policies, as AWS's refusals name them."""

    IDENTITY = "identity-based policy"
    BOUNDARY = "permissions boundary"
    SESSION = "session policy"
    TRUST = "role trust policy"
    RESOURCE = "resource-based policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One statement of one policy, and whether it applied."""

    layer: Layer
    source: str
    """Where the policy stands, such as "managed policy AmazonMWAAReadOnlyAccess of group data"."""
    statement: PolicyStatement
    mismatch: Mismatch | None
    """The first thing that did not match; None: the statement applies."""
    arn: str = ""
    """Of a managed policy."""

    @property
    def title(self) -> str:
        return f"{self.statement.title} of {self.source}"

    @property
    def sentence(self) -> str:
        """For a person: what the statement says of the request."""
        if self.mismatch is None:
            return f"{self.title} applies: {self.statement.effect}"
        return f"{self.title} does not apply: {self.mismatch.sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a request, and its reason."""

    allowed: bool
    explicit: bool
    """True when a Deny statement decided."""
    sentence: str
    """For a person: which statement decided, or what was missing."""
    because: str
    """How AWS's refusal ends; empty when allowed."""
    deciding: Considered | None
    """The statement that denied, or the first that allowed; None when nothing allowed."""
    trace: tuple[Considered, ...]
    """Every statement that was looked at."""


def evaluate(granted: Granted, request: Request) -> Decision:
    """Whether the policies of a principal allow the request."""
    trace = consider_granted(granted, request)
    denying = first(trace, Effect.DENY)
    return denied(denying, request, trace) if denying else within(granted, request, trace)


def within(
    granted: Granted, request: Request, trace: Sequence[Considered], *, trusting: Considered | None = None
) -> Decision:
    """The answer when nothing denies: each layer must allow, but `trusting` stands for the identity's policies."""
    layers = [] if trusting else [Layer.IDENTITY]
    layers += [Layer.BOUNDARY] if granted.boundary is not None else []
    layers += [Layer.SESSION] if granted.session else []
    allowing = [trusting] if trusting else []
    for layer in layers:
        found = first(trace, Effect.ALLOW, layer)
        if found is None:
            return missing(layer, request, trace)
        allowing.append(found)
    return allowed(allowing, request, trace)


def consider(layer: Layer, texts: Iterable[PolicyText], request: Request) -> list[Considered]:
    """Every statement of the policies, compared with the request."""
    return [
        Considered(
            layer=layer, source=text.source, arn=text.arn, statement=statement, mismatch=statement.mismatch(request)
        )
        for text in texts
        for statement in read(text).statements
    ]


_READERS = {Layer.TRUST: grammar.parse_trust, Layer.RESOURCE: grammar.parse_resource}


def read(text: PolicyText, layer: Layer = Layer.IDENTITY) -> PolicyDocument:
    """A stored policy.

    Raises:
        BrokenError: it cannot be read; it might deny, so nothing may be decided without it.
    """
    try:
        return _READERS.get(layer, grammar.parse)(text.document)
    except MalformedPolicyError as error:
        raise BrokenError(f"The stored {text.source} cannot be read: {error.reason}") from error


def consider_granted(granted: Granted, request: Request) -> list[Considered]:
    """Every statement of a principal's policies, layer by layer."""
    boundary = (granted.boundary,) if granted.boundary is not None else ()
    return [
        *consider(Layer.IDENTITY, granted.identity, request),
        *consider(Layer.BOUNDARY, boundary, request),
        *consider(Layer.SESSION, granted.session, request),
    ]


def first(trace: Iterable[Considered], effect: Effect, layer: Layer | None = None) -> Considered | None:
    """The first statement of that effect that applies."""
    for found in trace:
        if found.mismatch is None and found.statement.effect is effect and layer in {None, found.layer}:
            return found
    return None


def allowed(allowing: Sequence[Considered], request: Request, trace: Sequence[Considered]) -> Decision:
    """The answer by the first statement that allows, within the statements of the layers that limit."""
    deciding, *limits = allowing
    also = f", within {' and '.join(found.title for found in limits)}" if limits else ""
    return Decision(
        allowed=True,
        explicit=False,
        sentence=f"{request.action} on {request.resource} is allowed by {deciding.title}{also}.",
        because="",
        deciding=deciding,
        trace=tuple(trace),
    )


def denied(deciding: Considered, request: Request, trace: Sequence[Considered]) -> Decision:
    article = "an" if deciding.layer is Layer.IDENTITY else "the" if deciding.layer is Layer.TRUST else "a"
    return Decision(
        allowed=False,
        explicit=True,
        sentence=(
            f"{request.action} on {request.resource} is denied by {deciding.title}: "
            "an explicit deny overrides every allow."
        ),
        because=f"with an explicit deny in {article} {deciding.layer}",
        deciding=deciding,
        trace=tuple(trace),
    )


def missing(layer: Layer, request: Request, trace: Sequence[Considered]) -> Decision:
    """The answer when a layer that must allow does not."""
    near = [
        (found.mismatch.part, -index, f" The nearest, {found.title}, does not: {found.mismatch.sentence}.")
        for index, found in enumerate(trace)
        if found.layer is layer and found.statement.effect is Effect.ALLOW and found.mismatch is not None
    ]
    hint = max(near)[2] if near else ""
    return Decision(
        allowed=False,
        explicit=False,
        sentence=f"No {layer} allows {request.action} on {request.resource}.{hint}",
        because=f"because no {layer} allows the {request.action} action",
        deciding=None,
        trace=tuple(trace),
    )


def gone(request: Request) -> Decision:
    """The answer to a principal that exists no more."""
    return Decision(
        allowed=False,
        explicit=False,
        sentence=f"{request.action} on {request.resource} is denied: the principal exists no more.",
        because=f"because no {Layer.IDENTITY} allows the {request.action} action",
        deciding=None,
        trace=(),
    )
