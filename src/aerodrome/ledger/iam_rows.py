"""Reads a directory from the rows of IAM's tables, and writes the difference of two directories into them.

`principals` calls it within its transaction. It knows no rule of IAM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from aerodrome.ledger.schema import access_key, iam_entity
from aerodrome.model.iam.directory import FIELDS, Directory
from aerodrome.model.iam.entities import Entity, Key, KeyUse, Policy, PolicyVersion

_COLUMNS = frozenset({"name", "unique_id", "arn", "created_at"})
"""Fields of an entity that have a column; all others are in its document."""

_TUPLES = frozenset({"attached", "groups", "client_ids", "thumbprints"})

_KINDS: Mapping[str, type[Entity]] = {kind.__name__.lower(): kind for kind in FIELDS}


def read(connection: sa.Connection, empty: Directory) -> Directory:
    """Every entity and key, in a directory with the partition, account and AWS policies of `empty`."""
    tables: dict[str, Any] = {where: {} for where in FIELDS.values()}
    for row in connection.execute(sa.select(iam_entity)):
        tables[FIELDS[_KINDS[row.kind]]][row.key] = _entity(row)
    keys = {row.access_key_id: _key(row) for row in connection.execute(sa.select(access_key))}
    return Directory(
        partition=empty.partition, account=empty.account, aws_policies=empty.aws_policies, keys=keys, **tables
    )


def read_uses(connection: sa.Connection) -> dict[str, KeyUse]:
    """When each access key was used last."""
    used = sa.select(access_key).where(access_key.c.last_used_at.is_not(None))
    return {
        row.access_key_id: KeyUse(at=row.last_used_at, service=row.last_used_service, region=row.last_used_region)
        for row in connection.execute(used)
    }


def write(connection: sa.Connection, before: Directory, after: Directory) -> None:
    """Turn the rows of `before` into the rows of `after`."""
    for kind, where in FIELDS.items():
        old: Mapping[str, Entity] = getattr(before, where)
        new: Mapping[str, Entity] = getattr(after, where)
        # Removals first: a renamed entity keeps its unique id, so its new row would collide with its old one.
        gone = [key for key in old if key not in new]
        if gone:
            here = sa.and_(iam_entity.c.kind == kind.__name__.lower(), iam_entity.c.key.in_(gone))
            connection.execute(sa.delete(iam_entity).where(here))
        for key, entity in new.items():
            if old.get(key) is not entity:
                _put(connection, iam_entity, _row(key, entity), unique=("kind", "key"))
    _write_keys(connection, before.keys, after.keys)


def write_use(connection: sa.Connection, access_key_id: str, use: KeyUse) -> None:
    """Write when a key was used last; a key that is gone is ignored."""
    here = access_key.c.access_key_id == access_key_id
    values = {"last_used_at": use.at, "last_used_service": use.service, "last_used_region": use.region}
    connection.execute(sa.update(access_key).where(here).values(**values))


def _write_keys(connection: sa.Connection, old: Mapping[str, Key], new: Mapping[str, Key]) -> None:
    gone = [key for key in old if key not in new]
    if gone:
        connection.execute(sa.delete(access_key).where(access_key.c.access_key_id.in_(gone)))
    for name, each in new.items():
        if old.get(name) is not each:
            row = {field.name: getattr(each, field.name) for field in fields(each)}
            _put(connection, access_key, row, unique=("access_key_id",))


def _put(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], *, unique: tuple[str, ...]) -> None:
    statement = postgresql.insert(table).values(**row)
    changed = {name: statement.excluded[name] for name in row if name not in unique}
    connection.execute(statement.on_conflict_do_update(index_elements=unique, set_=changed))


def _row(key: str, entity: Entity) -> dict[str, Any]:
    document = {
        field.name: _plain(getattr(entity, field.name)) for field in fields(entity) if field.name not in _COLUMNS
    }
    return {
        "kind": type(entity).__name__.lower(),
        "key": key,
        "name": entity.name,
        "unique_id": getattr(entity, "unique_id", entity.arn),  # OIDC providers have none
        "arn": entity.arn,
        "created_at": entity.created_at,
        "document": document,
    }


def _plain(value: Any) -> Any:
    """A field as a JSON value."""
    match value:
        case tuple():
            return list(value)
        case datetime():
            return value.isoformat()
        case PolicyVersion():
            return {"document": value.document, "created_at": value.created_at.isoformat()}
        case Mapping():
            return {key: _plain(each) for key, each in value.items()}
        case _:
            return value


def _entity(row: Any) -> Entity:
    kind = _KINDS[row.kind]
    found: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in row.document.items()}
    if kind is Policy:
        found["updated_at"] = datetime.fromisoformat(found["updated_at"])
        found["versions"] = {name: _version(each) for name, each in found["versions"].items()}
    if "unique_id" in {field.name for field in fields(kind)}:
        found["unique_id"] = row.unique_id
    return kind(name=row.name, arn=row.arn, created_at=row.created_at, **found)


def _version(document: Mapping[str, Any]) -> PolicyVersion:
    return PolicyVersion(document=document["document"], created_at=datetime.fromisoformat(document["created_at"]))


def _key(row: Any) -> Key:
    return Key(
        access_key_id=row.access_key_id,
        user_id=row.user_id,
        sealed_secret=bytes(row.sealed_secret),
        active=row.active,
        created_at=row.created_at,
    )
