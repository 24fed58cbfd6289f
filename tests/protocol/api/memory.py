"""What stands behind the front door in memory, beside `aerodrome.ledger.memory`: principals and login tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aerodrome.identity.vault import Vault
from aerodrome.model.iam.directory import Change, Directory
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind
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
