"""IAM and STS over memory: a directory, what works with it, and an application that verifies as the front does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet
from starlette.requests import Request

from aerodrome import clock
from aerodrome.api.query import answers, errors
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.query.service import Answer, answer
from aerodrome.api.sts.issuers import Issuers
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer, principal_context
from aerodrome.identity.errors import AuthenticationError
from aerodrome.identity.managed_policies.catalogue import policies as aws_policies
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.sigv4 import SignedRequest
from aerodrome.identity.vault import Vault
from aerodrome.model.iam import grants, holders, users
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.iam.entities import KeyUse
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind

ACCOUNT = "000000000000"
REGION = "us-east-1"
ADMIN_KEY = ("AKIAADMIN00000000000", "the administrator's secret")
SERVICE_KEY = ("AKIAAERODROMEAAAAAAA", "the service's secret")
ADMINISTRATOR_ACCESS = "arn:aws:iam::aws:policy/AdministratorAccess"


def policy(action: Any, resource: Any = "*", effect: str = "Allow", **more: Any) -> str:
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: Any, action: Any = "sts:AssumeRole", **more: Any) -> str:
    """A trust policy of one statement."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class MemoryPrincipals:
    """The ledger's principals without the ledger."""

    def __init__(self, vault: Vault) -> None:
        self.directory = Directory(partition="aws", account=ACCOUNT, aws_policies=aws_policies("aws"))
        self.uses: dict[str, KeyUse] = {}
        self.environments = {"demo"}
        """Those whose services exist; the key of a service is demo's."""
        self._vault = vault

    def change(self, decide: Change) -> Directory:
        self.directory = decide(self.directory)
        return self.directory

    def access_key(self, access_key_id: str) -> AccessKey | None:
        if access_key_id == SERVICE_KEY[0] and "demo" in self.environments:
            name = "airflow-env.amazonaws.com"
            service = Principal(
                kind=PrincipalKind.SERVICE, account=ACCOUNT, arn=name, unique_id=name, name=name, environment="demo"
            )
            sealed = self._vault.seal_secret(SERVICE_KEY[1])
            return AccessKey(access_key_id=access_key_id, sealed_secret=sealed, principal=service, active=True)
        found = self.directory.keys.get(access_key_id)
        if found is None:
            return None
        return AccessKey(
            access_key_id=access_key_id,
            sealed_secret=found.sealed_secret,
            principal=grants.user_principal(self.directory.users_by_id[found.user_id], ACCOUNT),
            active=found.active,
        )

    def granted(self, principal: Principal) -> Granted | None:
        if principal.kind is PrincipalKind.SERVICE:
            exists = principal.environment is None or principal.environment in self.environments
            return Granted(identity=()) if exists else None
        return grants.granted(self.directory, principal)

    def trust(self, role_arn: str) -> PolicyText | None:
        return grants.trust(self.directory, role_arn)

    def used(self, access_key_id: str, service: str, region: str, now: datetime) -> None:
        self.uses[access_key_id] = KeyUse(at=now, service=service, region=region)

    def last_use(self, access_key_id: str) -> KeyUse | None:
        return self.uses.get(access_key_id)


@dataclass
class World:
    """What stands behind the application; a test arranges it and looks at it."""

    vault: Vault = field(default_factory=lambda: Vault(Fernet.generate_key()))
    late: timedelta = timedelta()
    """How much later than now it is here."""
    answers: list[Answer] = field(default_factory=list)
    execution_roles: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.principals = MemoryPrincipals(self.vault)
        tokens = SessionTokens(b"k" * 32)
        self.authenticator = Authenticator(self.principals, self.vault, tokens, REGION)
        self.deps = QueryDependencies(
            principals=self.principals,
            authorizer=Authorizer(self.principals),
            session_tokens=tokens,
            region=REGION,
            seal=self.vault.seal_secret,
            execution_roles_of=lambda name: self.execution_roles.get(name, set()),
            issuers=Issuers(),
            clock=self.now,
        )
        self.principals.change(self._with_administrator)

    def now(self) -> datetime:
        return clock.now() + self.late

    def _with_administrator(self, iam: Directory) -> Directory:
        iam = users.create(iam, "admin", unique_id="AIDAADMIN", now=clock.now())
        iam = holders.attach(iam, iam.user("admin"), ADMINISTRATOR_ACCESS)
        sealed = self.vault.seal_secret(ADMIN_KEY[1])
        return users.create_key(iam, "admin", access_key_id=ADMIN_KEY[0], sealed_secret=sealed, now=clock.now())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The application; the path's first part names the service of an unsigned request."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        request = Request(scope, receive)
        body = await request.body()
        response = await self._answered(request, body)
        await response(scope, receive, send)

    async def _answered(self, request: Request, body: bytes) -> Any:
        service: Any = "sts" if b"AssumeRoleWithWebIdentity" in body else "iam"
        principal = None
        headers = [(name.decode(), value.decode()) for name, value in request.scope["headers"]]
        if "authorization" in request.headers:
            service = request.headers["authorization"].split("/")[3]
            signed = SignedRequest(
                method=request.method,
                raw_path=request.scope["raw_path"].decode(),
                raw_query=request.scope["query_string"].decode(),
                headers=tuple(headers),
                body_sha256=hashlib.sha256(body).hexdigest(),
            )
            try:
                principal = self.authenticator.authenticate(signed, now=self.now(), services=frozenset({"iam", "sts"}))
            except AuthenticationError as error:
                return answers.failure(service, errors.translated(service, error), "request")
        context = principal_context(principal, now=self.now(), source_ip="127.0.0.1", secure=False) if principal else {}
        found = await answer(self.deps, request, service=service, principal=principal, body=body, context=context)
        self.answers.append(found)
        return found.response
