"""Revisions and snapshots of environments: what there are, and the changes that lead back to one.

Beyond the MWAA API, so on the operator's socket. A change is only begun here; the controller takes it from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from aerodrome.airflow import versions
from aerodrome.clock import Clock
from aerodrome.errors import CallerError, NotFoundError
from aerodrome.identity.vault import EnvironmentSecrets, Vault
from aerodrome.ledger import rows
from aerodrome.ledger.environments import Environments
from aerodrome.ledger.snapshots import Snapshots
from aerodrome.model import arns, history
from aerodrome.model.change import Change, Kind, Seed, Strategy
from aerodrome.model.environment import NAME, Environment
from aerodrome.model.history import Outcome, Revision, Snapshot
from aerodrome.model.spec import Spec


class Archives(Protocol):
    """Where snapshots lie."""

    def remove_snapshot(self, identifier: str, number: int) -> None:
        """Remove a snapshot's database and archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What an environment was, and the ways back."""

    environments: Environments
    snapshots: Snapshots
    archives: Archives
    vault: Vault
    checked_bucket: Callable[[Spec], Spec]
    """The spec with the S3 versions of its files filled in; raises CallerError when the bucket is not fit."""

    quota: int
    clock: Clock

    def revisions(self, name: str) -> list[dict[str, Any]]:
        """Every revision of an environment, the oldest first; `runs` marks the one that it has now."""
        current = self._environment(name).revision
        return [
            {**_revision_document(each), "runs": each.number == current} for each in self.environments.revisions(name)
        ]

    def all_snapshots(self, name: str | None) -> list[dict[str, Any]]:
        """The snapshots of one environment, or of all, the oldest first."""
        names = [self._environment(name).name] if name is not None else self.environments.names()
        return [_snapshot_document(each, taken) for each in names for taken in self.snapshots.of(each)]

    def roll_back(self, name: str, number: int, strategy: Strategy) -> dict[str, Any]:
        """Begin the change to the configuration of an earlier revision.

        Raises:
            CallerError: that revision never ran, runs already, or cannot be reached from here.
        """
        environment = self._environment(name)
        known = {each.number: each for each in self.environments.revisions(name)}
        found = known.get(number)
        if found is None:
            raise NotFoundError(f"{name} has no revision {number}: aerodrome revisions {name} lists them.")
        if found.outcome is not Outcome.APPLIED:
            raise CallerError(f"Revision {number} of {name} was never applied ({found.outcome}): choose one that was.")
        if found.spec == environment.spec:
            raise CallerError(f"{name} has the configuration of revision {number} already.")
        refusal = versions.move_refusal(environment.spec.airflow_version, found.spec.airflow_version)
        if refusal is not None:
            raise CallerError(f"{refusal}. A snapshot leads back too: aerodrome snapshots list {name}")
        return self._begin(environment, Kind.ROLLBACK, self.checked_bucket(found.spec), strategy)

    def restore(self, name: str, number: int, strategy: Strategy) -> dict[str, Any]:
        """Begin the change to a snapshot: its database and its configuration. What is now becomes a snapshot itself."""
        environment = self._environment(name)
        found = self._snapshot(name, number)
        seed = Seed(identifier=found.identifier, number=found.number)
        return self._begin(environment, Kind.RESTORE, self.checked_bucket(found.spec), strategy, seed)

    def clone(self, name: str, number: int, clone: str) -> dict[str, Any]:
        """Create another environment from a snapshot; what the snapshot's connections hold can be read there.

        Raises:
            CallerError: the new name is taken or no name, or the quota is reached.
        """
        if not NAME.fullmatch(clone):
            raise CallerError(f"{clone[:100]} is no name: use at most 80 letters, digits, - and _, a letter first.")
        source, found = self._environment(name), self._snapshot(name, number)
        made = self.environments.create(
            clone,
            self.checked_bucket(found.spec),
            {},
            sealed_secrets=self._secrets_of_clone(source),
            quota=self.quota,
            now=self.clock(),
            requested_by=_owner(source),
            seed=Seed(identifier=found.identifier, number=found.number),
        )
        return {"name": made.name, "revision": made.revision}

    def remove_snapshot(self, name: str, number: int) -> dict[str, Any]:
        """Remove a snapshot.

        Raises:
            CallerError: a change of the environment is under way, which may need it.
        """
        environment, found = self._environment(name), self._snapshot(name, number)
        if history.is_needed(found, self.environments.all()):
            raise CallerError(f"Snapshot {number} of {name} is being used: wait until the change is done.")
        self.archives.remove_snapshot(environment.identifier, number)
        self.snapshots.remove(environment.identifier, number)
        return {"name": name, "snapshot": number}

    def _begin(
        self, environment: Environment, kind: Kind, spec: Spec, strategy: Strategy, seed: Seed | None = None
    ) -> dict[str, Any]:
        wish = Change(
            kind=kind,
            spec=spec,
            revision=0,
            strategy=strategy,
            requested_at=self.clock(),
            requested_by=_owner(environment),
            seed=seed,
        )
        begun = self.environments.begin(environment, wish).change
        return {"name": environment.name, "revision": begun.revision if begun else None}

    def _secrets_of_clone(self, source: Environment) -> bytes:
        """Secrets of its own, but for the key that the snapshot's connections and variables are encrypted with."""
        key = self.vault.open(source.sealed_secrets).fernet_key
        return self.vault.seal(replace(EnvironmentSecrets.generate(), fernet_key=key))

    def _environment(self, name: str) -> Environment:
        found = self.environments.get(name)
        if found is None:
            raise NotFoundError(f"Environment {name[:100]} not found.")
        return found

    def _snapshot(self, name: str, number: int) -> Snapshot:
        for each in self.snapshots.of(name):
            if each.number == number:
                return each
        raise NotFoundError(f"{name} has no snapshot {number}: aerodrome snapshots list {name} shows them.")


def _owner(environment: Environment) -> str:
    """Whoever reaches the operator's socket owns the machine: the account's root, as far as AWS has a word for it."""
    return arns.root_of(environment.arn)


def _revision_document(revision: Revision) -> dict[str, Any]:
    return {
        "number": revision.number,
        "kind": revision.kind,
        "outcome": revision.outcome,
        "requested_at": revision.requested_at.isoformat(),
        "requested_by": revision.requested_by,
        "settled_at": revision.settled_at.isoformat() if revision.settled_at else None,
        "failure": rows.failure_document(revision.failure),
        "report": list(revision.report),
        "configuration": revision.spec.document(),
    }


def _snapshot_document(name: str, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "environment": name,
        "number": snapshot.number,
        "taken_at": snapshot.taken_at.isoformat(),
        "airflow_version": snapshot.deployed.version,
        "size": snapshot.size,
        "configuration": snapshot.spec.document(),
    }
