"""The ledger's environments in memory, for tests of the front door; a suite shared with the ledger checks it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aerodrome.errors import CallerError, NotFoundError
from aerodrome.model import arns, lifecycle
from aerodrome.model.environment import Environment, LastUpdate, Progress, Spec


class MemoryEnvironments:
    def __init__(self, *, region: str = "us-east-1", account: str = "000000000000") -> None:
        self.rows: dict[str, Environment] = {}
        self.log: list[tuple[str, str, str]] = []
        self._region = region
        self._account = account
        self._number = 0
        self._lock = threading.Lock()

    def create(
        self, name: str, spec: Spec, tags: Mapping[str, str], *, sealed_secrets: bytes, quota: int, now: datetime
    ) -> Environment:
        with self._lock:
            if name in self.rows:
                raise CallerError(f"Environment {name} already exists. Choose another Name, or delete it first.")
            if len(self.rows) >= quota:
                raise CallerError(f"The quota of {quota} environments is reached. Delete one first.")
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
                progress=Progress(phase="queued", detail="", phase_started_at=now),
                sealed_secrets=sealed_secrets,
            )
            return self.rows[name]

    def get(self, name: str) -> Environment | None:
        return self.rows.get(name)

    def names(self, *, after: str | None = None, limit: int | None = None) -> list[str]:
        return sorted(name for name in self.rows if after is None or name > after)[:limit]

    def request(self, name: str, event: lifecycle.Event, now: datetime) -> Environment:
        with self._lock:
            found = self._found(name)
            step = lifecycle.transition(found.status, event)
            self.rows[name] = replace(found, status=step.status)
            self.record(name, event, step.sentence, {}, now)
            if step.status is lifecycle.Status.DELETED:
                return self.rows.pop(name)
            return self.rows[name]

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        with self._lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={**found.tags, **tags})

    def remove_tags(self, name: str, keys: Iterable[str]) -> None:
        gone = set(keys)
        with self._lock:
            found = self._found(name)
            self.rows[name] = replace(found, tags={key: each for key, each in found.tags.items() if key not in gone})

    def record(self, name: str, kind: str, sentence: str, detail: Mapping[str, Any], now: datetime) -> None:  # noqa: ARG002 - the ledger's signature
        self.log.append((name, kind, sentence))

    def _found(self, name: str) -> Environment:
        if name not in self.rows:
            raise NotFoundError(f"Environment {name} not found.")
        return self.rows[name]
