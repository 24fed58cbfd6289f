"""What stands behind the front door, in memory: the ledger's environments, principals, login tokens."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.identity.vault import Vault
from aerodrome.model import arns, change, happening, lifecycle
from aerodrome.model.change import ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.history import Outcome, Revision, Snapshot
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind
from aerodrome.model.spec import Spec
from unit.identity.memory_store import MemoryIdentityStore

ACCOUNT = "000000000000"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def unique_id(name: str) -> str:
    """Of the user of that name."""
    return f"AIDA{name.upper():0>17}"


@dataclass(frozen=True)
class Key:
    """What a client signs with."""

    access_key_id: str
    secret: str


class MemoryIdentity(MemoryIdentityStore):
    """The store of principals: users with one key each, and the policies that each has."""

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._vault = vault

    def add_user(self, name: str, *statements: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> Key:
        """A user whom these statements allow what they do."""
        key = Key(f"AKIA{name.upper():0>16}", f"secret of {name}")
        principal = Principal(
            kind=PrincipalKind.USER,
            account=ACCOUNT,
            arn=f"arn:aws:iam::{ACCOUNT}:user/{name}",
            unique_id=unique_id(name),
            name=name,
            tags=tags or {},
        )
        self.keys[key.access_key_id] = AccessKey(
            access_key_id=key.access_key_id,
            sealed_secret=self._vault.seal_secret(key.secret),
            principal=principal,
            active=True,
        )
        self.arns[principal.unique_id] = principal.arn
        self.grant(name, *statements)
        return key

    def grant(self, name: str, *statements: Mapping[str, Any]) -> None:
        texts = (PolicyText(source=f"inline policy own of user {name}", document=policy(*statements)),)
        self.grants[unique_id(name)] = Granted(identity=texts if statements else ())


class MemoryPrincipals:
    """IAM's directory, for the operations of IAM itself."""

    def __init__(self) -> None:
        self.directory = Directory(partition="aws", account=ACCOUNT)

    def change(self, decide: Change) -> Directory:
        self.directory = decide(self.directory)
        return self.directory

    def last_use(self, access_key_id: str) -> None:
        """Nothing is known of uses here."""


@dataclass(frozen=True)
class Issued:
    kind: str
    environment: str
    role: str | None
    principal: Principal
    now: datetime


class MemoryLogins:
    def __init__(self) -> None:
        self.issued: dict[str, Issued] = {}

    def issue(self, kind: Any, environment: str, role: str | None, principal: Principal, *, now: datetime) -> str:
        token = f"token-{len(self.issued)}"
        self.issued[token] = Issued(kind, environment, role, principal, now)
        return token


class MemoryEnvironments:
    """The ledger's environments; tests/contract holds it and the real ones to the same suite."""

    def __init__(self, *, region: str = "us-east-1", account: str = ACCOUNT) -> None:
        self.rows: dict[str, Environment] = {}
        self._log: list[dict[str, Any]] = []
        self._revisions: dict[str, list[Revision]] = {}
        self._region = region
        self._account = account
        self._number = 0
        self._lock = threading.Lock()

    def create(
        self,
        name: str,
        spec: Spec,
        tags: Mapping[str, str],
        *,
        sealed_secrets: bytes,
        quota: int,
        now: datetime,
        requested_by: str | None = None,
        seed: Seed | None = None,
    ) -> Environment:
        wish = change.Change(
            kind=ChangeKind.CREATE,
            spec=spec,
            revision=1,
            strategy=Strategy.GRACEFUL,
            requested_at=now,
            requested_by=requested_by,
            seed=seed,
        )
        with self._lock:
            if name in self.rows:
                raise CallerError(f"Environment {name} already exists. Choose another Name, or delete it first.")
            if len(self.rows) >= quota:
                raise CallerError(
                    f"The quota of {quota} environments is reached. Delete one, or raise AERODROME_QUOTA_ENVIRONMENTS."
                )
            self._number += 1
            self.rows[name] = Environment(
                name=name,
                identifier=f"{self._number:08x}",
                arn=arns.environment(region=self._region, account=self._account, name=name),
                number=self._number,
                spec=spec,
                tags=dict(tags),
                status=lifecycle.Status.CREATING,
                created_at=now,
                last_update=LastUpdate(status="PENDING", created_at=now, source="user"),
                progress=Progress(phase="queued", detail="Waiting for the controller.", phase_started_at=now),
                sealed_secrets=sealed_secrets,
                change=wish,
            )
            self._revisions[name] = [_pending(wish)]
            self.record(name, "CREATE_REQUESTED", "Creation was asked for.", {}, now)
            return self.rows[name]

    def get(self, name: str) -> Environment | None:
        return self.rows.get(name)

    def all(self) -> list[Environment]:
        return list(self.rows.values())

    def names(self, *, after: str | None = None, limit: int | None = None) -> list[str]:
        return sorted(name for name in self.rows if after is None or name > after)[:limit]

    def request(self, name: str, event: lifecycle.Event, now: datetime) -> Environment:
        with self._lock:
            before = self._found(name)
            after, step = happening.happened(before, event, now)
            outcome = happening.OUTCOMES.get(event)
            failure = before.failure if outcome else None
            detail = {**asdict(failure), "tail": list(failure.tail)} if failure else {}
            self.record(name, event, step.sentence, detail, now)
            if outcome and before.change is not None:
                self._settle(name, before, outcome, now)
            self.rows[name] = after
            if step.status is lifecycle.Status.DELETED:
                del self.rows[name], self._revisions[name]
            return after

    def begin(self, seen: Environment, wish: change.Change) -> Environment:
        with self._lock:
            before = self._found(seen.name)
            numbered = replace(wish, revision=max(each.number for each in self._revisions[seen.name]) + 1)
            after, step = happening.begun(before, numbered)
            if (before.identifier, before.revision) != (seen.identifier, seen.revision):
                raise CallerError(f"Environment {seen.name} was changed in the meantime: look at it and try again.")
            self._revisions[seen.name].append(_pending(numbered))
            is_maintenance = wish.kind is ChangeKind.MAINTENANCE
            event = lifecycle.Event.MAINTENANCE_BEGUN if is_maintenance else lifecycle.Event.UPDATE_REQUESTED
            detail = {"revision": numbered.revision, "kind": numbered.kind, "by": numbered.requested_by}
            self.record(seen.name, event, step.sentence, detail, wish.requested_at)
            self.rows[seen.name] = after
            return after

    def set_progress(
        self, name: str, progress: Progress, *, failure: Failure | None = None, change: change.Change | None = None
    ) -> None:
        with self._lock:
            found = self.rows.get(name)
            if found is not None:
                self.rows[name] = replace(
                    found, progress=progress, failure=failure or found.failure, change=change or found.change
                )

    def revisions(self, name: str) -> list[Revision]:
        return list(self._revisions.get(name, ()))

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        with self._lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={**found.tags, **tags})

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        gone = set(keys)
        with self._lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={key: each for key, each in found.tags.items() if key not in gone})

    def record(self, name: str | None, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        self._log.append({"environment": name, "kind": kind, "sentence": sentence, "detail": dict(detail), "at": now})

    def events(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self._log if each["environment"] == name]

    def _found(self, name: str) -> Environment:
        if name not in self.rows:
            raise NotFoundError(f"Environment {name} not found.")
        return self.rows[name]

    def _settle(self, name: str, before: Environment, outcome: Outcome, now: datetime) -> None:
        for place, each in enumerate(self._revisions[name]):
            if before.change is not None and each.number == before.change.revision:
                failure = before.failure if outcome is Outcome.FAILED else None
                self._revisions[name][place] = replace(
                    each, outcome=outcome, settled_at=now, failure=failure, report=before.change.report
                )


class MemorySnapshots:
    """The ledger's snapshots."""

    def __init__(self) -> None:
        self.taken: list[Snapshot] = []

    def add(self, taken: Snapshot) -> None:
        if (taken.identifier, taken.number) not in [(each.identifier, each.number) for each in self.taken]:
            self.taken.append(taken)

    def of(self, _name: str) -> list[Snapshot]:
        """All, for there is one environment here."""
        return sorted(self.taken, key=lambda each: each.number)

    def remove(self, identifier: str, number: int) -> None:
        self.taken = [each for each in self.taken if (each.identifier, each.number) != (identifier, number)]


def _pending(wish: change.Change) -> Revision:
    return Revision(
        number=wish.revision,
        kind=wish.kind,
        spec=wish.spec,
        outcome=Outcome.PENDING,
        requested_at=wish.requested_at,
        requested_by=wish.requested_by,
    )
