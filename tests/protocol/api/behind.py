"""Everything behind the front door in memory, as one value that a test arranges and looks at."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from cryptography.fernet import Fernet

from aerodrome import clock
from aerodrome.api.dependencies import ApiDependencies
from aerodrome.api.prometheus import Exposition
from aerodrome.api.query.dependencies import QueryDependencies
from aerodrome.api.sts.issuers import Issuers
from aerodrome.identity.authenticator import Authenticator
from aerodrome.identity.authorizer import Authorizer
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.ledger.memory import MemoryEnvironments
from aerodrome.model import updates
from aerodrome.model.audit import Entry
from aerodrome.model.environment import Environment
from aerodrome.model.limits import Enforcement
from aerodrome.model.spec import Spec
from aerodrome.model.web_address import Ports
from aerodrome.operations.dependencies import Dependencies
from aerodrome.operations.hibernation import Waking
from aerodrome.operations.preflight import Preflight
from aerodrome.operator.dependencies import OperatorDependencies
from aerodrome.settings import Settings
from protocol.api import raw
from protocol.api.memory import EVERYTHING, MemoryIdentity, MemoryLogins, MemoryPrincipals

VAULT = Vault(Fernet.generate_key())


class Unsealed:
    """A vault for those to whom it makes no difference what is in it."""

    def seal(self, _opened: EnvironmentSecrets) -> bytes:
        return b"sealed"


class MemoryPreflight(Preflight):
    """Finds everything as it should be, unless a test arranges a problem."""

    def __init__(self) -> None:
        self.bucket_problem: Exception | None = None
        self.buckets_checked: list[Spec] = []
        self.role_problem: Exception | None = None
        self.roles_checked: list[tuple[str, str]] = []
        """Names of environments, and the ARNs of their roles."""
        self.version_problem: Exception | None = None
        self.versions_checked: list[str] = []
        self.surprises: list[str] = []

    def check_execution_role(self, name: str, spec: Spec) -> None:
        self.roles_checked.append((name, spec.execution_role_arn))
        if self.role_problem:
            raise self.role_problem

    def check_version(self, number: str) -> None:
        self.versions_checked.append(number)
        if self.version_problem:
            raise self.version_problem

    def with_file_versions(self, spec: Spec) -> Spec:
        self.buckets_checked.append(spec)
        if self.bucket_problem:
            raise self.bucket_problem
        named = spec.document()
        latest = {version: "latest" for path, version in updates.FILES.items() if path in named}
        return Spec.of({**latest, **named})

    def warnings(self, _spec: Spec) -> list[str]:
        return self.surprises


def dependencies(settings: Settings, **given: Any) -> Dependencies:
    """What operations work with; None is what a test does not give."""
    if "environments" in given:
        given = {"awake": Waking(given["environments"], given.get("clock", clock.now)).awake, **given}
    rest = {each.name: None for each in fields(Dependencies) if each.name not in given}
    versions = {"offered_versions": ("3.3.1", "2.11.2", "1.10.15", "1.10.12"), "latest_version": "3.3.1"}
    return Dependencies(**{**rest, **versions, "clock": clock.now, "settings": settings, **given})


SCRAPE_TOKEN = "t" * 40


@dataclass
class Behind:
    """What stands behind the front door; a test arranges it and looks at it."""

    environments: MemoryEnvironments = field(default_factory=MemoryEnvironments)
    preflight: MemoryPreflight = field(default_factory=MemoryPreflight)
    rest_answer: tuple[int, Any] | Exception = (200, {"dags": []})
    rest_calls: list[tuple[str, str, str, Any, Any]] = field(default_factory=list)
    rest_identities: list[tuple[str, str]] = field(default_factory=list)
    identity: MemoryIdentity = field(default_factory=lambda: MemoryIdentity(VAULT))
    principals: MemoryPrincipals = field(default_factory=MemoryPrincipals)
    logins: MemoryLogins = field(default_factory=MemoryLogins)
    audited: list[Entry] = field(default_factory=list)
    totals: list[dict[str, Any]] | OSError = field(default_factory=list)
    """Of metrics, as the log store has them."""

    async def rest(
        self, environment: Environment, method: str, path: str, query: Any, body: Any, *, subject: str, role: str
    ) -> tuple[int, Any]:
        self.rest_identities.append((subject, role))
        self.rest_calls.append((environment.name, method, path, query, body))
        if isinstance(self.rest_answer, Exception):
            raise self.rest_answer
        return self.rest_answer

    def metrics_totals(self) -> dict[str, Any]:
        if isinstance(self.totals, OSError):
            raise self.totals
        return {"series": self.totals, "left_out": 7}

    def change(self, name: str, **changes: Any) -> None:
        self.environments.rows[name] = replace(self.environments.rows[name], **changes)

    def grant(self, *statements: dict[str, Any]) -> None:
        """From now on the user that the clients sign as may do this alone."""
        self.identity.grant("admin", *statements)

    def deps(self, settings: Settings) -> ApiDependencies:
        """The application's dependencies with all this in them, and a user behind `raw.ADMIN` who may do everything."""
        assert self.identity.add_user("admin", EVERYTHING) == raw.ADMIN
        return ApiDependencies(
            operations=dependencies(
                settings,
                environments=self.environments,
                authorizer=Authorizer(self.identity),
                logins=self.logins,
                preflight=self.preflight,
                vault=Unsealed(),
                rest=self.rest,
                gateway_ports=Ports(public=4562, private=443),
            ),
            query=QueryDependencies(
                principals=self.principals,
                authorizer=Authorizer(self.identity),
                session_tokens=SessionTokens(bytes(32)),
                seal=VAULT.seal_secret,
                execution_roles_of=lambda _: (),
                issuers=Issuers(),
                region=settings.region,
                clock=clock.now,
            ),
            authenticator=Authenticator(self.identity, VAULT, SessionTokens(bytes(32)), settings.region),
            record=self.audited.append,
            aws_endpoint_url=None,
            exposition=Exposition(token=SCRAPE_TOKEN, environments=self.environments.all, totals=self.metrics_totals),
        )


def operator_dependencies(**given: Any) -> OperatorDependencies:
    """What stands behind the operator's socket: nothing, but what a test gives."""
    nothing: Any = None
    found: dict[str, Any] = {
        "audit": nothing,
        "directory": nothing,
        "runtime": nothing,
        "cluster": nothing,
        "troubles": list,
        "services": list,
        "limits": lambda: Enforcement(
            version=1, kinds=frozenset({"pids", "memory", "cpu"}), machine=2**33, processors=2
        ),
        "user_databases": nothing,
        "api": "",
        "port": 0,
        "uids": lambda: "30000-31999",
        "primed": lambda: ["3.3.1"],
    }
    return OperatorDependencies(**found | given)
