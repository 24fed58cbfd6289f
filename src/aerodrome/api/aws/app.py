"""The way of one request through the door: who signed it, what it asks for, whether IAM allows it; then the emulator.

`aerodrome.aws_door` serves it. Requests to S3 are verified by their head, and their bodies as they pass; those of other
services are held, since the body says what they are about. Every refusal and every change that is let through leaves an
entry in the audit log; reads and data that are let through leave none, as in CloudTrail's default. Requests for STS are
answered here, by what answers them at the API as well (`api.queries`).
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeGuard, TypeVar
from urllib.parse import unquote

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aerodrome import browsers, forwarding
from aerodrome.api import bodies, credential_scope, queries, unsigned
from aerodrome.api.auditing import Trail
from aerodrome.api.aws import operations, packing, passing, readings, refusals, requested, s3, service_keys
from aerodrome.api.aws.announcing import Announcer
from aerodrome.api.aws.concurrency import ConcurrencyLimit
from aerodrome.api.aws.denied import DeniedPrincipals
from aerodrome.api.aws.knowledge import Knowledge
from aerodrome.api.aws.passing import CheckedBody, EmbeddedLogs, EmbeddedService
from aerodrome.api.aws.refreshing import Refreshing
from aerodrome.api.aws.refusals import Refusal
from aerodrome.api.aws.requested import NeededPermission, OnwardHead, Requested, UnclearError, UnservedError
from aerodrome.api.aws.resources import REQUIRED, Resource, Resources
from aerodrome.api.aws.spool import Spool
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.budget import Budget, BusyError
from aerodrome.emulator import rules
from aerodrome.errors import BrokenError
from aerodrome.identity import payloads, sigv4
from aerodrome.identity.authenticator import Authenticator, Proof
from aerodrome.identity.authorizer import Anonymous, Authorizer, Request, principal_context, refusal
from aerodrome.identity.errors import AuthenticationError, MalformedPolicyError, unknown_key
from aerodrome.identity.payloads import Payload
from aerodrome.identity.policy import grammar
from aerodrome.identity.request_context import connection_context
from aerodrome.identity.sigv4 import Presented, SignedRequest
from aerodrome.ledger.connection import LedgerError, reason
from aerodrome.listening.protocol import peer_of
from aerodrome.model.audit import Recorder
from aerodrome.model.principals import PolicyText, Principal, PrincipalKind
from aerodrome.telemetry.metrics import acceptance

LONGEST = 16 * 2**20
"""Bytes of a request to a service other than S3; DynamoDB's batches are the largest."""

HELD_AT_ONCE = 64 * 2**20
"""Bytes of all bodies that are held at one time."""

SMALL = 256 * 2**10
"""Bytes of a body for which it needs no part of that: the listener bounds how many bodies there are. A message to a
queue is not longer."""

QUICK = 32 * 2**10
"""Bytes of a body that is read at once; a larger one is read by a thread, so that others are served meanwhile."""

READERS = 2
"""Such threads; more would only take the processor from each other."""

HELD_PATIENCE = 30.0
"""Seconds for which a body waits for a part of that."""

PATIENCE = 60.0
"""Seconds for a body that is held to arrive."""

PASSING_PATIENCE = 900.0
"""Seconds for a body that is passed on to arrive."""

LOOKS_AT_ONCE = 4
"""Threads that look for environments' service keys in the ledger, which may hang."""

STS: Final = "sts"

PROVEN_SPACING = 0.1
"""Seconds between the beginnings of two reads of IAM for requests whose signature is proven."""

UNSIGNED_STS: Final = "unsigned requests for STS"
"""Whose part of what the door serves at one time these count against."""

KNOWN = frozenset({*rules.SERVICES, *rules.OURS, rules.REDSHIFT_DATA})
"""What a request may be signed for so that the audit log has its name."""

_READS = re.compile(r"[\w-]+:(Get|List|Describe|Head|BatchGet|Query|Scan|Search|Lookup|Select|Filter|Test)")

_DATA = re.compile(
    r"s3:(PutObject|DeleteObject|DeleteObjectVersion|AbortMultipartUpload)$|sqs:.*Message.*|sns:Publish.*|"
    r"kinesis:Put.*|firehose:Put.*|logs:(PutLogEvents|CreateLogStream)|cloudwatch:PutMetricData|events:PutEvents|"
    r"dynamodb:(Put|Update|Delete)Item|dynamodb:BatchWriteItem|dynamodb:TransactWriteItems|"
    r"kms:(Encrypt|Decrypt|ReEncrypt.*|GenerateDataKey.*|GenerateRandom|Sign|Verify|GenerateMac|VerifyMac)"
)
"""Actions on data, which CloudTrail calls data events; and KMS's and new log streams, of which there are as many."""

log = structlog.get_logger("aerodrome.door")

Found = TypeVar("Found")

OF_MWAA = f"{acceptance.RESERVED}MWAA"
"""The namespace of what MWAA measures."""

MONITORING = "monitoring"
"""What requests to CloudWatch are signed for."""

TELEMETRY = frozenset({"logs", MONITORING})
"""The services that the log store answers for in the emulator's place."""

OF_RESOURCES = frozenset({"s3", "sns"})
"""Services whose resources requests to other services need too, and whose policies count then."""

_METHODS_OF_NOBODY = frozenset({"GET", "HEAD", "PUT", "DELETE", "POST"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorDependencies:
    """What the door works with, filled in by `aerodrome.aws_door`."""

    authenticator: Authenticator
    authorizer: Authorizer
    query: QueryDependencies
    """What STS needs."""
    refresh: Callable[[], None]
    """Brings in changes of IAM that were made before it was called; may block."""
    record: Recorder
    clock: Callable[[], datetime]
    region: str
    account: str
    domain: str
    """The one below which environments have their pages."""
    identity: str
    """What the health check answers."""
    emulator_socket: str
    logs_socket: str
    """Of the log store, which answers for CloudWatch and CloudWatch Logs."""
    spool: Path
    """The folder in which the emulator finds large bodies."""
    announced: Path
    """The folder of the sockets on which sidecars hear of changed objects."""
    bodies: Budget = field(default_factory=bodies.budget)
    """The memory that larger bodies of requests for STS share."""


@dataclass(slots=True, kw_only=True)
class _Arrival:
    """One request on its way."""

    http: HttpRequest
    raw_path: str
    signed: SignedRequest
    head: OnwardHead
    presented: Presented | None
    trail: Trail
    service: str
    """MiniStack's name; until it is known, what the request is signed for."""

    @property
    def request_id(self) -> str:
        return self.trail.request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _Admitted:
    """A request that is allowed."""

    caller: str
    wanted: Requested
    body: bytes | None
    """What was held; None: it is passed as it comes."""
    payload: Payload | None


class DoorRefusedError(Exception):
    """The request ends here."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Door:
    """The ASGI application; `inner` gets what is not HTTP."""

    def __init__(
        self, inner: ASGIApp, *, deps: DoorDependencies, emulator: EmbeddedService, logs: EmbeddedLogs, spool: Spool
    ) -> None:
        self._inner = inner
        self._deps = deps
        self._emulator = emulator
        self._logs = logs
        self._spool = spool
        self._concurrency = ConcurrencyLimit()
        self._looks = CapacityLimiter(LOOKS_AT_ONCE)
        self._readers = CapacityLimiter(READERS)
        self._refresh_for_strangers = Refreshing(deps.refresh)
        self._refresh_for_proven = Refreshing(deps.refresh, spacing=PROVEN_SPACING)
        self._denied = DeniedPrincipals()
        self._announcer = Announcer(deps.announced)
        self._resources = Resources(emulator.ask, logs.tags)
        self._held = Budget(HELD_AT_ONCE, each=HELD_AT_ONCE // 2, patience=HELD_PATIENCE)
        self._held_of_peers = Budget(HELD_AT_ONCE, each=HELD_AT_ONCE // 2, patience=HELD_PATIENCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        http = HttpRequest(scope, receive)
        early = self._early(http)
        if early is not None:
            await early(scope, receive, send)
            return
        arrival = self._arrived(http)
        if await _is_for_sts(arrival):
            response = await queries.answer(self._deps, STS, arrival.http, arrival.raw_path, self)
            await response(scope, arrival.http.receive, send)
            return
        try:
            await self._served(arrival, send)
        except DoorRefusedError as error:
            await _answered(error.refusal, arrival)(scope, receive, send)

    async def unknown(self) -> None:
        """Return when IAM was read again; seldom, since anybody may name a key."""
        await self._refresh_for_strangers()

    def threads(self, signed: SignedRequest) -> CapacityLimiter | None:
        """The few that look in the ledger, if the request names a service key: anybody may name one."""
        with suppress(AuthenticationError):  # whoever verifies the request says so
            presented = sigv4.presented(signed)
            if presented is not None and service_keys.is_looked_up(presented.access_key_id):
                return self._looks
        return None

    @asynccontextmanager
    async def proven(self, principal: Principal | None) -> AsyncIterator[None]:
        """A request for STS, within the block.

        What the API has changed a moment ago counts here too: a new role can be assumed, a withdrawn one cannot. But
        for those who have proven nothing, IAM is read as seldom as for unknown keys.
        """
        with self._concurrency.taken(UNSIGNED_STS if principal is None else _name(principal)):
            await (self._refresh_for_strangers if principal is None else self._refresh_for_proven)()
            yield

    def _early(self, http: HttpRequest) -> Response | None:
        """The answer to what is no request to a service."""
        sentence = browsers.refusal(http.headers, domain=self._deps.domain)
        path = http.scope["path"]
        if sentence is None and path == rules.DOOR_HEALTH:
            return JSONResponse({"door": self._deps.identity})
        if sentence is None and (rules.is_private(path) or not path.startswith("/")):
            sentence = "the emulator's administration is not served"
        if sentence is None:
            return None
        told = {"__type": "AccessDeniedException", "message": sentence}
        return JSONResponse(told, 403, {"x-amzn-errortype": "AccessDeniedException", "connection": "close"})

    def _arrived(self, http: HttpRequest) -> _Arrival:
        scope = http.scope
        raw_path = scope["raw_path"].decode("latin-1")
        raw_query = scope["query_string"].decode("latin-1")
        lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        headers: dict[str, str] = {}
        for name, value in lines:
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        now = self._deps.clock()
        address = http.client.host if http.client else ""
        trail = Trail(at=now, address=address, request_id=str(uuid.uuid4()), action="s3:UnknownOperation")
        signed = SignedRequest(http.method, raw_path, raw_query, lines, None)
        head = OnwardHead(method=http.method, path=unquote(raw_path), query={}, headers=headers)
        return _Arrival(
            http=http, raw_path=raw_path, signed=signed, head=head, presented=None, trail=trail, service="s3"
        )

    async def _served(self, arrival: _Arrival, send: Send) -> None:
        try:
            async with self._admitted(arrival) as admitted:
                await self._passed_on(arrival, admitted, send)
        except AuthenticationError as error:
            self._refuse(arrival, refusals.unproven, error.code, str(error))
        except UnclearError as error:
            self._refuse(arrival, refusals.unclear, str(error))
        except UnservedError as error:
            self._fail(arrival, 501, "NotImplemented", str(error))
        except BusyError:
            self._fail(arrival, 503, "SlowDown", "Other requests are under way: reduce your request rate.")
        except (LedgerError, forwarding.UnansweredError) as error:
            self._fail(
                arrival, 503, "ServiceUnavailable", f"The {_away(error)} does not answer: see `aerodrome status`."
            )
        except (forwarding.GoneError, ClientDisconnect):
            return  # nobody is there to be answered
        except (forwarding.TooSlowError, TimeoutError):  # which is an OSError too
            self._fail(arrival, 400, "RequestTimeout", "The body of the request did not arrive in time.")
        except OSError as error:
            log.warning("spool", error=str(error))
            is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            what = "The disk takes no more" if is_full else f"The request cannot be kept ({error.strerror})"
            self._fail(arrival, 503, "ServiceUnavailable", f"{what}: see `aerodrome status`.")
        except forwarding.TooLongError:
            self._fail(arrival, 413, "EntityTooLarge", f"A request may have {LONGEST} bytes.")

    @asynccontextmanager
    async def _admitted(self, arrival: _Arrival) -> AsyncIterator[_Admitted]:
        """The request, once IAM allows it; what is held of its body is held within the block."""
        arrival.presented = presented = sigv4.presented(arrival.signed)
        arrival.head = replace(arrival.head, query=requested.parsed(arrival.signed.raw_query))
        if presented is not None:
            arrival.service = presented.service
            arrival.trail.detail["access_key_id"] = presented.access_key_id
            known = presented.service in KNOWN
            arrival.trail.action = f"{presented.service}:UnknownOperation" if known else "UnknownService"
            if presented.service in rules.OURS:
                sentence = "this endpoint does not serve Amazon MWAA and IAM; send this to Aerodrome's own endpoint"
                self._refuse(arrival, refusals.denied, sentence)
        elif (protocol := _spoken_by_nobody(arrival.head)) is not None:
            arrival.service = protocol
            raise AuthenticationError("MissingAuthenticationToken", "Missing Authentication Token")
        if arrival.service == "s3":
            async with self._s3(arrival) as admitted:
                yield admitted
        else:
            async with self._other(arrival) as admitted:
                yield admitted

    @asynccontextmanager
    async def _s3(self, arrival: _Arrival) -> AsyncIterator[_Admitted]:
        head = arrival.head
        path = s3.by_path(head.headers.get("host", ""), arrival.raw_path)
        arrival.head = head = replace(head, path=unquote(path))
        readings.check_connection(head)
        asking, payload = await self._signer(arrival)
        with self._concurrency.taken(_name(asking)):
            if not s3.is_held(head):
                wanted = s3.requested(head, None)
                await self._decide(arrival, asking, wanted)
                yield _Admitted(caller=_caller(asking), wanted=wanted, body=None, payload=payload)
                return
            async with self._body(arrival, _name(asking)) as body:
                payload.feed(body)
                payload.finish()
                wanted = await self._read(body, lambda: s3.requested(head, body))
                await self._decide(arrival, asking, wanted)
                yield _Admitted(caller=_caller(asking), wanted=wanted, body=body, payload=None)

    async def _signer(self, arrival: _Arrival) -> tuple[Principal | Anonymous, Payload]:
        """Who asks S3, and what the body must be."""
        if arrival.presented is None:
            return Anonymous(), payloads.Unsigned()
        proof = await self._proven(arrival, arrival.signed)
        declared = sigv4.declared_payload(arrival.signed, arrival.presented)
        return proof.principal, payloads.expected(declared, proof.presented, proof.secret)

    @asynccontextmanager
    async def _other(self, arrival: _Arrival) -> AsyncIterator[_Admitted]:
        presented = arrival.presented
        assert presented is not None  # noqa: S101  (nobody is let in to other services)
        named = await self._fresh(presented, lambda: self._recognised(arrival, presented))
        async with self._body(arrival, _name(named), is_packed="content-encoding" in arrival.head.headers) as raw:
            signed = replace(arrival.signed, body_sha256=hashlib.sha256(raw).hexdigest())
            proof = await self._proven(arrival, signed)
            arrival.service = operations.service_of(arrival.head, presented.service)
            with self._concurrency.taken(_name(proof.principal)):
                body = packing.plain(arrival.head, raw, longest=LONGEST)
                read = partial(operations.requested, region=self._deps.region, account=self._deps.account)
                wanted = await self._read(body, lambda: read(arrival.service, arrival.head, body))
                await self._decide(arrival, proof.principal, wanted)
                yield _Admitted(caller=_caller(proof.principal), wanted=wanted, body=body, payload=None)

    async def _read(self, body: bytes, read: Callable[[], Requested]) -> Requested:
        """What `read` finds in the body."""
        return read() if len(body) <= QUICK else await to_thread.run_sync(read, limiter=self._readers)

    def _recognised(self, arrival: _Arrival, presented: Presented) -> Principal:
        """Whose key the request names, when all is right that can be known before the body is read."""
        self._check_key(presented)
        services = _services(presented)
        return self._deps.authenticator.recognise(arrival.signed, presented, now=arrival.trail.at, services=services)

    def _check_key(self, presented: Presented) -> None:
        measures = presented.service == MONITORING  # see _is_own_measurement
        if service_keys.is_looked_up(presented.access_key_id) and not measures:
            raise unknown_key(presented.service)

    async def _proven(self, arrival: _Arrival, signed: SignedRequest) -> Proof:
        presented = arrival.presented
        assert presented is not None  # noqa: S101  (asked by the callers)

        def prove() -> Proof:
            self._check_key(presented)
            return self._deps.authenticator.prove(
                signed, presented, now=arrival.trail.at, services=_services(presented)
            )

        proof = await self._fresh(presented, prove)
        arrival.trail.principal = proof.principal
        return proof

    async def _fresh(self, presented: Presented, look: Callable[[], Found]) -> Found:
        """What `look` finds in IAM. Before a key counts as unknown, IAM is read again.

        A service key is not in what IAM reads but looked up in the ledger: by a thread, since the ledger may hang.
        """
        if service_keys.is_looked_up(presented.access_key_id):
            return await to_thread.run_sync(look, limiter=self._looks)
        try:
            return look()
        except AuthenticationError as error:
            if error.code not in {"UnrecognizedClientException", "InvalidClientTokenId"}:
                raise
        await self._refresh_for_strangers()
        return look()

    @asynccontextmanager
    async def _body(self, arrival: _Arrival, owner: str, *, is_packed: bool = False) -> AsyncIterator[bytes]:
        """The whole body, kept within the block; it counts against `owner`'s part of the budget.

        If it is packed, what it will be unpacked counts too. Nobody has proven yet that he is `owner`: so a part is his
        alone who sends it from the same place, and small bodies, and large ones of which little has arrived, need none.

        Raises:
            TooLongError: it is too long. BusyError: too much is held already.
        """
        declared = arrival.head.headers.get("content-length")
        length = rules.int_or_zero(declared) if declared is not None else LONGEST
        if length > LONGEST:
            raise forwarding.TooLongError
        found, peer = bytearray(), peer_of(arrival.http.scope)
        async with AsyncExitStack() as shares, asyncio.timeout(PATIENCE) as patience:
            async for chunk in arrival.http.stream():
                if (
                    len(found) <= SMALL < len(found) + len(chunk)
                ):  # all at once, or two halves would wait for each other
                    await self._share(shares, length + (LONGEST if is_packed else 0), peer, owner)
                found += chunk
                if len(found) > LONGEST:
                    raise forwarding.TooLongError
            patience.reschedule(None)
            if is_packed and len(found) <= SMALL < (unpacked := packing.unpacked_length(found)):
                await self._share(shares, min(unpacked, LONGEST), peer, owner)
            yield bytes(found)

    async def _share(self, shares: AsyncExitStack, length: int, peer: str, owner: str) -> None:
        await shares.enter_async_context(self._held_of_peers.share(length, peer))
        await shares.enter_async_context(self._held.share(length, f"{peer} {owner}"))

    async def _decide(self, arrival: _Arrival, asking: Principal | Anonymous, wanted: Requested) -> None:
        """Return when everything is allowed."""
        trail = arrival.trail
        trail.action, trail.resource = wanted.checks[0].action, wanted.checks[0].resource
        sentence = await self._objection(arrival, asking, wanted)
        if (
            sentence is not None
            and not isinstance(asking, Anonymous)  # of whom IAM knows nothing
            and self._denied.is_worth_a_read(_name(asking), time.monotonic())
        ):
            await self._refresh_for_proven()
            sentence = await self._objection(arrival, asking, wanted)
        if sentence is not None:
            trail.sentence = sentence
            self._refuse(arrival, refusals.denied, sentence)
        if (namespace := _reserved(asking, wanted)) is not None:
            # The store says the same; but one that runs from before an update may not.
            self._refuse(arrival, refusals.invalid, acceptance.invalid_namespace(namespace))
        for policy in wanted.policies:
            try:
                grammar.parse_resource(policy)
            except MalformedPolicyError as error:
                self._refuse(arrival, refusals.malformed, error.reason)
        trail.allowed = True

    async def _objection(self, arrival: _Arrival, asking: Principal | Anonymous, wanted: Requested) -> str | None:
        """AWS's sentence for the first thing that is not allowed."""
        if _is_own_part(asking):  # it has no policies, and to look it up in the ledger might hold up the event loop
            if _is_own_measurement(asking, wanted):
                return None
            return f"User: {asking.arn} is not authorized to perform: {wanted.checks[0].action}"
        context = self._context(arrival, asking)
        for check in wanted.checks:
            known = Knowledge({**context, **check.context}, check.action, wanted.tags)
            sentence = await self._judged(arrival, asking, check, known)
            if sentence is not None:
                return sentence
        return None

    async def _judged(
        self, arrival: _Arrival, asking: Principal | Anonymous, check: NeededPermission, known: Knowledge
    ) -> str | None:
        asked_of = check.action.partition(":")[0]
        service = asked_of if asked_of in OF_RESOURCES else arrival.service
        resource = Resource(arn=check.resource, policy=None)
        if not check.is_as_named and not check.is_of_all:
            resource = await self._resources.of(service, check.resource, check.named)
        arrival.trail.resource = resource.arn if check.resource == arrival.trail.resource else arrival.trail.resource
        asked = Request(action=check.action, resource=resource.arn, context=known)
        required = service in REQUIRED and not check.is_as_named
        if not resource.exists:
            return f"User: {asking.arn} is not authorized to perform: {check.action}, since there is no {resource.arn}"
        policy = None
        if resource.policy and not (resource.is_closed and isinstance(asking, Anonymous)):
            policy = PolicyText(source=f"policy of {resource.arn}", document=resource.policy)
        try:
            decision = self._deps.authorizer.decide_on(asking, asked, policy, required=required)
            if known.wants_stored:
                version = check.context.get("s3:versionid", ("",))[0]
                tagged = "*" if check.is_of_all else resource.arn
                known.learn(*await self._resources.tags(service, tagged, version))
                decision = self._deps.authorizer.decide_on(asking, asked, policy, required=required)
        except BrokenError as error:
            return self._unreadable(asking, asked, error)
        return None if decision.allowed else refusal(asking, asked, decision)

    def _unreadable(self, asking: Principal | Anonymous, asked: Request, error: BrokenError) -> str | None:
        """The sentence when a resource's policy cannot be read: it might deny, so only administrators may mend it."""
        own = self._deps.authorizer.decide_on(asking, asked, None)
        beyond = Request(action=requested.BEYOND_ROLE, resource="*", context=asked.context)
        if own.allowed and self._deps.authorizer.decide_on(asking, beyond, None).allowed:
            return None
        return f"{refusal(asking, asked, own)}. {error}"

    def _context(self, arrival: _Arrival, asking: Principal | Anonymous) -> dict[str, tuple[str, ...]]:
        secure = arrival.http.scope["scheme"] == "https"
        now, address = arrival.trail.at, arrival.trail.address
        if isinstance(asking, Anonymous):
            found = connection_context(now=now, source_ip=address, secure=secure)
        else:
            found = principal_context(asking, now=now, source_ip=address, secure=secure)
        return found | requested.context(arrival.head, arrival.presented, self._deps.region, self._deps.account)

    async def _reach(self, arrival: _Arrival, admitted: _Admitted) -> list[str] | None:
        """The buckets that SQL may read for who asks; None: the request has no SQL."""
        principal = arrival.trail.principal
        if not admitted.wanted.reads_buckets or principal is None:
            return None
        context = self._context(arrival, principal)
        found = []
        for bucket in await self._resources.buckets():
            check = NeededPermission(action="s3:GetObject", resource=f"arn:aws:s3:::{bucket}/*")
            if await self._judged(arrival, principal, check, Knowledge(context, check.action, dict)) is None:
                found.append(bucket)
        return found

    async def _passed_on(self, arrival: _Arrival, admitted: _Admitted, send: Send) -> None:
        reach = await self._reach(arrival, admitted)
        self._forget(admitted)
        self._note(arrival)
        async with self._carried(arrival, admitted) as (body, file):
            headers = passing.headers(
                arrival.http.scope["headers"],
                service=arrival.presented.service if arrival.presented else "s3",
                region=self._deps.region,
                caller=admitted.caller,
                date=arrival.trail.at.strftime("%Y%m%d"),
                length=None if admitted.body is None else len(admitted.body),
                reach=reach,
                file=file,
            )
            target = passing.target(arrival.head.path, arrival.signed.raw_query)
            behind = self._logs if arrival.service in TELEMETRY else self._emulator
            status = await behind.pass_on(arrival.head.method, target, headers, body, send)
        self._forget(admitted)
        if status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            self._announcer.announce(admitted.wanted.checks)

    def _forget(self, admitted: _Admitted) -> None:
        for check in admitted.wanted.checks:
            self._resources.forget(check.action, check.resource)

    @asynccontextmanager
    async def _carried(
        self, arrival: _Arrival, admitted: _Admitted
    ) -> AsyncIterator[tuple[forwarding.Body, str | None]]:
        """The body as it is passed on; with None, or the name of the file in the spool that has all of it."""
        scope, receive = arrival.http.scope, arrival.http.receive
        if admitted.body is not None:
            yield _held(admitted.body, scope, receive), None
            return
        payload = admitted.payload or payloads.Unsigned()
        length = rules.int_or_zero(arrival.head.headers.get("content-length", ""))
        async with self._spool.room(length, admitted.caller) as is_free:
            if is_free:
                arriving = forwarding.Body(scope, receive, seconds=PASSING_PATIENCE)
                async with self._spool.taken(arriving.chunks(), payload) as name:
                    yield _held(None, scope, receive), name
                return
        body = CheckedBody(scope, receive, payload, seconds=PASSING_PATIENCE)
        if body.is_empty:
            payload.finish()  # nobody asks for its pieces
        yield body, None

    def _note(self, arrival: _Arrival) -> None:
        """Record a request that is let through, if it changes something."""
        action = arrival.trail.action
        if not _READS.match(action) and not _DATA.match(action):
            self._deps.record(arrival.trail.entry())

    def _refuse(self, arrival: _Arrival, make: Callable[..., Refusal], *told: str) -> None:
        found = make(arrival.service, *told, arrival.head.headers, arrival.request_id)
        arrival.trail.failed(found.code, told[-1])
        arrival.trail.allowed = False
        self._deps.record(arrival.trail.entry())
        raise DoorRefusedError(found) from None

    def _fail(self, arrival: _Arrival, status: int, code: str, sentence: str) -> None:
        raise DoorRefusedError(
            refusals.failed(arrival.service, status, code, sentence, arrival.head.headers, arrival.request_id)
        ) from None


def create_app(deps: DoorDependencies) -> Starlette:
    """The application; it needs a server that runs its lifespan."""
    emulator, logs, spool = EmbeddedService(deps.emulator_socket), EmbeddedLogs(deps.logs_socket), Spool(deps.spool)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        spool.clear()
        async with emulator, logs:
            yield

    middleware = [Middleware(Door, deps=deps, emulator=emulator, logs=logs, spool=spool)]
    return Starlette(middleware=middleware, lifespan=lifespan)


async def _is_for_sts(arrival: _Arrival) -> bool:
    """Whether a request is signed for STS, or is the one of STS's that nobody signs."""
    authorization, query = arrival.head.headers.get("authorization", ""), arrival.signed.raw_query
    if credential_scope.is_presented(authorization, query):
        return credential_scope.service(authorization, query) == STS
    claimed, arrival.http = await unsigned.claimed(arrival.http, arrival.raw_path)
    return claimed == STS


def _services(presented: Presented) -> frozenset[str]:
    """What a request may be signed for: any service but those that are answered elsewhere."""
    return frozenset({presented.service}) - rules.OURS


def _held(body: bytes | None, scope: Scope, receive: Receive) -> forwarding.Body:
    """A body that has arrived already; None: nothing is to be passed on of it."""
    scope = {**scope, "headers": [(b"content-length", str(len(body or b"")).encode())]}
    return forwarding.Body(scope, receive if body is None else _again(body, receive))


def _again(body: bytes, rest: Receive) -> Receive:
    """Hands out a body that was held, then what comes."""
    taken = False

    async def receive() -> dict[str, object]:
        nonlocal taken
        if not taken:
            taken = True
            return {"type": "http.request", "body": body, "more_body": False}
        return dict(await rest())

    return receive


def _spoken_by_nobody(head: OnwardHead) -> str | None:
    """The service whose protocol an unsigned request speaks; None = it may be for S3, which also serves the public."""
    if "x-amz-target" in head.headers:
        return "kms"
    if head.headers.get("content-type", "").startswith("application/x-www-form-urlencoded") or "Action" in head.query:
        return "sns"
    if "smithy-protocol" in head.headers:
        return "monitoring"
    return "s3" if "authorization" in head.headers or head.method not in _METHODS_OF_NOBODY else None


def _away(error: LedgerError | forwarding.UnansweredError) -> str:
    """What does not answer."""
    if isinstance(error, forwarding.UnansweredError):
        log.warning("emulator_away", error=str(error))
        return "AWS emulator"
    log.warning("ledger_away", reason=reason(error))  # it may name addresses
    return "ledger"


def _is_own_part(asking: Principal | Anonymous) -> TypeGuard[Principal]:
    """Whether it is an environment's own part, which no DAG code is: its sidecar."""
    return isinstance(asking, Principal) and asking.kind is PrincipalKind.SERVICE and asking.environment is not None


def _is_own_measurement(asking: Principal, wanted: Requested) -> bool:
    """Whether all that is asked for is to write what MWAA itself measures of the environment that asks."""
    told = {operations.NAMESPACE: (OF_MWAA,), operations.ENVIRONMENT: (asking.environment,)}
    return all(check.action == "cloudwatch:PutMetricData" and check.context == told for check in wanted.checks)


def _reserved(asking: Principal | Anonymous, wanted: Requested) -> str | None:
    """The namespace of AWS's own services that is to be written by one who is none of them."""
    if _is_own_part(asking):
        return None
    namespaces = (
        name
        for check in wanted.checks
        if check.action == "cloudwatch:PutMetricData"
        for name in check.context.get(operations.NAMESPACE, ())
    )
    return next((name for name in namespaces if name.startswith(acceptance.RESERVED)), None)


def _name(asking: Principal | Anonymous) -> str:
    """One name for who asks, whichever key or session it is."""
    return asking.arn if isinstance(asking, Anonymous) else asking.unique_id.partition(":")[0]


def _caller(asking: Principal | Anonymous) -> str:
    """A key id that stands for who asks, in front of the emulator: the same for all keys of a principal."""
    if _is_own_part(asking):
        return acceptance.OWN_PARTS
    return f"AKIA{hashlib.sha256(_name(asking).encode()).hexdigest()[:16].upper()}"


def _answered(refusal: Refusal, arrival: _Arrival) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    body = b"" if arrival.head.method == "HEAD" else refusal.body
    headers = {**refusal.headers, "x-amzn-requestid": arrival.request_id, "connection": "close"}
    return Response(body, status_code=refusal.status, headers=headers)
