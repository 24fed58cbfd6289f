"""Stores of identities that a test arranges in one way, whatever each of them is filled with.

`Written` fills the stores that are whatever a test puts into them, `Ruled` those that IAM's own rules change. Unique
ids are `AIDA` and `AROA` with the name that the entity was made with; secrets lie open, for nobody here signs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from aerodrome.identity.store import IdentityStore
from aerodrome.model.iam import holders, policies, roles, users
from aerodrome.model.iam.directory import Change
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind
from unit.identity.memory_store import MemoryIdentityStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNT = "000000000000"
SERVICE = "airflow-env.amazonaws.com"


def document(action: str) -> str:
    """A policy that allows it."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})


def trusting(account: str = ACCOUNT) -> str:
    """A trust policy."""
    statement = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role_arn(name: str, path: str = "/") -> str:
    return f"arn:aws:iam::{ACCOUNT}:role{path}{name}"


def user(name: str, unique_id: str | None = None, **more: Any) -> Principal:
    """The user as a request carries it."""
    return Principal(
        kind=PrincipalKind.USER,
        account=ACCOUNT,
        arn=f"arn:aws:iam::{ACCOUNT}:user/{name}",
        unique_id=unique_id or f"AIDA{name}",
        name=name,
        **more,
    )


def session(role: str, session_name: str, unique_id: str | None = None, **more: Any) -> Principal:
    """A session of the role as a request carries it."""
    return Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        account=ACCOUNT,
        arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session_name}",
        unique_id=f"{unique_id or f'AROA{role}'}:{session_name}",
        name=role,
        session_name=session_name,
        role_arn=role_arn(role),
        **more,
    )


def service(environment: str | None) -> Principal:
    """An environment's own part; MWAA itself when there is none yet."""
    return Principal(
        kind=PrincipalKind.SERVICE,
        account=ACCOUNT,
        arn=SERVICE,
        unique_id=SERVICE,
        name=SERVICE,
        environment=environment,
    )


class Stage(Protocol):
    """A store and how a test changes what it knows."""

    store: IdentityStore

    def add_user(
        self, name: str, *documents: str, boundary: str | None = None, unique_id: str | None = None
    ) -> None: ...
    def add_key(self, name: str, access_key_id: str, *, active: bool = True) -> None: ...
    def remove_user(self, name: str) -> None:
        """With its keys."""

    def rename_user(self, name: str, new_name: str) -> None: ...
    def add_role(self, name: str, *documents: str, path: str = "/", unique_id: str | None = None) -> None:
        """A role that trusts the account."""

    def remove_role(self, name: str) -> None: ...


class Written:
    """Over a store of plain dictionaries."""

    def __init__(self, store: MemoryIdentityStore) -> None:
        self.store = store

    def add_user(self, name: str, *documents: str, boundary: str | None = None, unique_id: str | None = None) -> None:
        self._grant(user(name, unique_id), documents, boundary)

    def add_key(self, name: str, access_key_id: str, *, active: bool = True) -> None:
        found = user(name, next(each for each in self.store.grants if self.store.arns[each] == user(name).arn))
        key = AccessKey(access_key_id=access_key_id, sealed_secret=b"sealed", principal=found, active=active)
        self.store.keys[access_key_id] = key

    def remove_user(self, name: str) -> None:
        self._forget(user(name).arn)

    def rename_user(self, name: str, new_name: str) -> None:
        self.store.arns[user(name).unique_id] = user(new_name).arn

    def add_role(self, name: str, *documents: str, path: str = "/", unique_id: str | None = None) -> None:
        arn = role_arn(name, path)
        self._grant(session(name, "", unique_id), documents, None)
        self.store.arns[unique_id or f"AROA{name}"] = arn
        self.store.trusts[arn] = trusting()

    def remove_role(self, name: str) -> None:
        self._forget(role_arn(name))
        del self.store.trusts[role_arn(name)]

    def _grant(self, principal: Principal, documents: tuple[str, ...], boundary: str | None) -> None:
        unique_id = principal.unique_id.partition(":")[0]
        self.store.arns[unique_id] = principal.iam_arn
        self.store.grants[unique_id] = Granted(
            identity=tuple(PolicyText(source="inline policy", document=each) for each in documents),
            boundary=PolicyText(source="permissions boundary", document=boundary) if boundary else None,
        )

    def _forget(self, arn: str) -> None:
        for unique_id in [each for each, its_arn in self.store.arns.items() if its_arn == arn]:
            del self.store.arns[unique_id], self.store.grants[unique_id]
        for key in [key for key, each in self.store.keys.items() if each.principal.arn == arn]:
            del self.store.keys[key]


class Directing(IdentityStore, Protocol):
    """A store that IAM's rules change."""

    def change(self, decide: Change) -> Any: ...


class Ruled:
    """Over a store with IAM's directory."""

    def __init__(self, store: Directing) -> None:
        self.store: Directing = store

    def add_user(self, name: str, *documents: str, boundary: str | None = None, unique_id: str | None = None) -> None:
        self._change(lambda iam: users.create(iam, name, unique_id=unique_id or f"AIDA{name}", now=NOW))
        for number, text in enumerate(documents):
            self._change(lambda iam, n=number, t=text: holders.put_inline(iam, iam.user(name), f"p{n}", t))
        if boundary is not None:
            limit = f"limit-of-{name}"
            arn = f"arn:aws:iam::{ACCOUNT}:policy/{limit}"
            self._change(lambda iam: policies.create(iam, limit, boundary, unique_id=f"ANPA{name}", now=NOW))
            self._change(lambda iam: holders.put_boundary(iam, iam.user(name), arn))

    def add_key(self, name: str, access_key_id: str, *, active: bool = True) -> None:
        key = {"access_key_id": access_key_id, "sealed_secret": b"sealed", "now": NOW}
        self._change(lambda iam: users.create_key(iam, name, **key))
        self._change(lambda iam: users.update_key(iam, name, access_key_id, active=active))

    def remove_user(self, name: str) -> None:
        def bare(iam):
            for key in iam.keys_of(iam.user(name)):
                iam = users.delete_key(iam, name, key.access_key_id)
            for policy in iam.user(name).inline:
                iam = holders.delete_inline(iam, iam.user(name), policy)
            return users.delete(iam, name)

        self._change(bare)

    def rename_user(self, name: str, new_name: str) -> None:
        self._change(lambda iam: users.update(iam, name, new_name=new_name, new_path=None))

    def add_role(self, name: str, *documents: str, path: str = "/", unique_id: str | None = None) -> None:
        wanted = {"path": path, "unique_id": unique_id or f"AROA{name}", "now": NOW}
        self._change(lambda iam: roles.create(iam, name, trusting(), **wanted))
        for number, text in enumerate(documents):
            self._change(lambda iam, n=number, t=text: holders.put_inline(iam, iam.role(name), f"p{n}", t))

    def remove_role(self, name: str) -> None:
        def bare(iam):
            for policy in iam.role(name).inline:
                iam = holders.delete_inline(iam, iam.role(name), policy)
            return roles.delete(iam, name)

        self._change(bare)

    def _change(self, decide: Callable[..., Any]) -> None:
        self.store.change(decide)
