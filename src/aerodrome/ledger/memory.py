"""The ledger in memory, public so that anyone can test an API or a controller against it.

It fulfils the same contract as the ledger on PostgreSQL (tests/contract): the same refusals and sentences, texts as
PostgreSQL stores them, and one transaction for each method. It forgets everything when its process ends, and it has
neither principals nor logins.
"""

from __future__ import annotations

import copy
import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.ledger import rows, texts
from aerodrome.model import arns, happening, history, lifecycle
from aerodrome.model.change import Change, ChangeKind, Seed, Strategy
from aerodrome.model.environment import Environment, Failure, LastUpdate, Progress
from aerodrome.model.hibernation import HibernationStep
from aerodrome.model.history import Outcome, Revision, Snapshot
from aerodrome.model.spec import Spec


class MemoryEnvironments:
    """`Environments` without a database; its methods are documented there."""

    def __init__(self, *, region: str = "us-east-1", account: str = "000000000000") -> None:
        self.rows: dict[str, Environment] = {}
        """The environments as they are; a test may put one here that no sequence of calls would make."""

        self.listeners: list[queue.SimpleQueue[str]] = []
        """Each gets the name of every environment that an event happens to."""

        self._region = region
        self._account = account
        self._events: list[dict[str, Any]] = []
        self._revisions: dict[str, list[Revision]] = {}
        self._numbers = itertools.count(1)
        self.lock = threading.RLock()
        """Also of the snapshots."""
        self.snapshots: dict[tuple[str, int], Snapshot] = {}

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
        change = Change(
            kind=ChangeKind.CREATE,
            spec=spec,
            revision=1,
            strategy=Strategy.GRACEFUL,
            requested_at=now,
            requested_by=requested_by,
            seed=seed,
        )
        with self.lock:
            self._check_seed(seed)
            if name in self.rows:
                raise CallerError(f"Environment {name} already exists. Choose another Name, or delete it first.")
            if len(self.rows) >= quota:
                raise CallerError(
                    f"The quota of {quota} environments is reached. Delete one, or raise AERODROME_QUOTA_ENVIRONMENTS."
                )
            number = next(self._numbers)
            self.rows[name] = Environment(
                name=name,
                identifier=f"{number:08x}",
                arn=arns.environment(region=self._region, account=self._account, name=name),
                number=number,
                spec=spec,
                tags=dict(tags),
                status=lifecycle.Status.CREATING,
                created_at=now,
                last_update=LastUpdate(status="PENDING", created_at=now, source=happening.USER_SOURCE),
                progress=Progress(phase="queued", detail="Waiting for the controller.", phase_started_at=now),
                sealed_secrets=sealed_secrets,
                change=change,
            )
            self._revisions[name] = [_pending(change)]
            self.record(name, "CREATE_REQUESTED", "Creation was asked for.", {}, now)
            return self._found(name)

    def get(self, name: str) -> Environment | None:
        with self.lock:
            return self._found(name) if name in self.rows else None

    def all(self) -> list[Environment]:
        with self.lock:
            return [self._found(name) for name in self.rows]

    def names(self, *, after: str | None = None, limit: int | None = None) -> list[str]:
        with self.lock:
            return sorted(name for name in self.rows if after is None or name > after)[:limit]

    def request(self, name: str, happened: lifecycle.Event, now: datetime) -> Environment:
        with self.lock:
            before = self._found(name)
            after, step = happening.happened(before, happened, now)
            outcome = happening.OUTCOMES.get(happened)
            failure = before.failure if outcome else None
            self.record(name, happened, step.sentence, rows.failure_document(failure) or {}, now)
            if outcome is not None and before.change is not None:
                self._settle(before, before.change, outcome, now)
            self.rows[name] = after
            if step.status is lifecycle.Status.DELETED:
                del self.rows[name], self._revisions[name]
            return after

    def begin(self, seen: Environment, change: Change) -> Environment:
        with self.lock:
            before = self._found(seen.name)
            numbered = replace(change, revision=max(each.number for each in self._revisions[seen.name]) + 1)
            after, step = happening.begun(before, numbered)
            if (before.identifier, before.revision) != (seen.identifier, seen.revision):
                raise CallerError(f"Environment {seen.name} was changed in the meantime: look at it and try again.")
            self._check_seed(change.seed)
            self._revisions[seen.name].append(_pending(numbered))
            is_maintenance = change.kind is ChangeKind.MAINTENANCE
            happened = lifecycle.Event.MAINTENANCE_BEGUN if is_maintenance else lifecycle.Event.UPDATE_REQUESTED
            detail = {"revision": numbered.revision, "kind": numbered.kind, "by": numbered.requested_by}
            self.record(seen.name, happened, step.sentence, detail, change.requested_at)
            self.rows[seen.name] = after
            return after

    def rest(
        self,
        name: str,
        decide: Callable[[Environment], HibernationStep | None],
        now: datetime,
        *,
        detail: Mapping[str, Any] | None = None,
    ) -> Environment:
        with self.lock:
            before = self._found(name)
            step = decide(before)
            if step is None:
                return before
            self.rows[name] = replace(before, hibernation=rows.hibernation(rows.hibernation_document(step.after)))
            if step.kind:
                self.record(name, step.kind, step.sentence, detail or {}, now)
            return self._found(name)

    def set_progress(
        self, name: str, progress: Progress, *, failure: Failure | None = None, change: Change | None = None
    ) -> None:
        with self.lock:
            if name in self.rows:
                found = self.rows[name]
                self.rows[name] = replace(
                    found,
                    progress=rows.progress(rows.progress_document(progress)),
                    failure=rows.failure(rows.failure_document(failure)) or found.failure,
                    change=rows.change(rows.change_document(change)) or found.change,
                )

    def revisions(self, name: str) -> list[Revision]:
        with self.lock:
            return list(self._revisions.get(name, ()))

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        with self.lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={**found.tags, **tags})

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        gone = set(keys)
        with self.lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={key: each for key, each in found.tags.items() if key not in gone})

    def record(self, name: str | None, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:
        with self.lock:
            self._events.append(
                {
                    "id": len(self._events) + 1,
                    "at": now,
                    "environment": name,
                    "kind": str(kind),
                    "sentence": texts.text(sentence),
                    "detail": texts.document(dict(detail)),
                }
            )
            if name is not None:
                for listener in self.listeners:
                    listener.put(name)

    def events(self, name: str, *, limit: int = 100) -> list[dict[str, Any]]:
        with self.lock:
            own = [each for each in self._events if each["environment"] == name]
            return copy.deepcopy(own[max(0, len(own) - limit) :])

    def _found(self, name: str) -> Environment:
        """The environment with tags of its own, so that a caller who changes them changes nothing here."""
        if name not in self.rows:
            raise NotFoundError(f"Environment {name} not found.")
        found = self.rows[name]
        return replace(found, tags=dict(found.tags))

    def _check_seed(self, seed: Seed | None) -> None:
        if seed is not None:
            source = next((each for each in self.rows.values() if each.identifier == seed.identifier), None)
            history.check_seed(seed, source, is_kept=(seed.identifier, seed.number) in self.snapshots)

    def _settle(self, before: Environment, change: Change, outcome: Outcome, now: datetime) -> None:
        failure = before.failure if outcome is Outcome.FAILED else None
        self._revisions[before.name] = [
            replace(each, outcome=outcome, settled_at=now, failure=failure, report=change.report)
            if each.number == change.revision
            else each
            for each in self._revisions[before.name]
        ]


class MemorySnapshots:
    """`Snapshots` without a database, beside environments in memory."""

    def __init__(self, environments: MemoryEnvironments) -> None:
        self._environments = environments
        self._taken = environments.snapshots
        self._lock = environments.lock

    def add(self, taken: Snapshot) -> None:
        with self._lock:
            if taken.identifier not in {each.identifier for each in self._environments.all()}:
                raise NotFoundError(f"There is no environment {taken.identifier} to keep a snapshot of.")
            self._taken.setdefault((taken.identifier, taken.number), taken)

    def of(self, name: str) -> list[Snapshot]:
        found = self._environments.get(name)
        with self._lock:
            own = [each for each in self._taken.values() if found and each.identifier == found.identifier]
        return sorted(own, key=lambda each: each.number)

    def remove(
        self, identifier: str, number: int, clear: Callable[[], None], *, is_needed: Callable[[list[Environment]], bool]
    ) -> bool:
        with self._lock:
            if is_needed(self._environments.all()):
                return False
            clear()
            self._taken.pop((identifier, number), None)
        return True


class MemoryNotices:
    """`Notices` without a database, about environments in memory."""

    def __init__(self, environments: MemoryEnvironments) -> None:
        self._environments = environments
        self._heard: queue.SimpleQueue[str] | None = None

    def wait(self, seconds: float) -> set[str]:
        if self._heard is None:
            self._heard = queue.SimpleQueue()
            self._environments.listeners.append(self._heard)
        try:
            return {self._heard.get(timeout=seconds)}
        except queue.Empty:
            return set()

    def close(self) -> None:
        if self._heard is not None:
            self._environments.listeners.remove(self._heard)
            self._heard = None


def _pending(change: Change) -> Revision:
    return Revision(
        number=change.revision,
        kind=change.kind,
        spec=change.spec,
        outcome=Outcome.PENDING,
        requested_at=change.requested_at,
        requested_by=change.requested_by,
    )
