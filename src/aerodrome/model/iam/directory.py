"""The whole of IAM at one moment, immutable: what every change starts from and what every decision reads.

The ledger makes it from its rows and writes the difference of two. Lookups raise IamError in AWS's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from aerodrome.model.iam import errors, identifiers
from aerodrome.model.iam.entities import Entity, Group, Holder, Key, Policy, Provider, Role, User

FIELDS: Mapping[type[Entity], str] = {
    User: "users",
    Group: "groups",
    Role: "roles",
    Policy: "policies",
    Provider: "providers",
}
"""Where each kind of entity stands in a directory."""


def key(name: str) -> str:
    """What names are compared by: IAM does not let two entities differ by the case of letters only."""
    return name.lower()


@dataclass(frozen=True, kw_only=True)
class Directory:
    """Every entity, by the lower-case form of its name."""

    partition: str
    account: str
    aws_policies: Mapping[str, Policy] = field(default_factory=dict)
    """AWS's own managed policies, by ARN."""
    users: Mapping[str, User] = field(default_factory=dict)
    groups: Mapping[str, Group] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    providers: Mapping[str, Provider] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    """By access key id."""

    @cached_property
    def users_by_id(self) -> Mapping[str, User]:
        return {user.unique_id: user for user in self.users.values()}

    @cached_property
    def groups_by_id(self) -> Mapping[str, Group]:
        return {group.unique_id: group for group in self.groups.values()}

    @cached_property
    def roles_by_arn(self) -> Mapping[str, Role]:
        return {role.arn: role for role in self.roles.values()}

    @cached_property
    def policies_by_arn(self) -> Mapping[str, Policy]:
        """All managed policies, the account's and AWS's."""
        return {**self.aws_policies, **{policy.arn: policy for policy in self.policies.values()}}

    def user(self, name: str) -> User:
        return _named(self.users, name, "user")

    def group(self, name: str) -> Group:
        return _named(self.groups, name, "group")

    def role(self, name: str) -> Role:
        return _named(self.roles, name, "role")

    def policy(self, arn: str) -> Policy:
        found = self.policies_by_arn.get(arn)
        if found is None:
            raise errors.IamError(errors.NO_SUCH_ENTITY, f"Policy {arn} was not found.")
        return found

    def provider(self, arn: str) -> Provider:
        for found in self.providers.values():
            if found.arn == arn:
                return found
        raise errors.IamError(errors.NO_SUCH_ENTITY, f"OpenIDConnect Provider not found for arn {arn}")

    def keys_of(self, user: User) -> list[Key]:
        return [each for each in self.keys.values() if each.user_id == user.unique_id]

    def members(self, group: Group) -> list[User]:
        return [user for user in self.users.values() if group.unique_id in user.groups]

    def groups_of(self, user: User) -> list[Group]:
        return [self.groups_by_id[each] for each in user.groups if each in self.groups_by_id]

    def holders(self) -> list[Holder]:
        return [*self.users.values(), *self.groups.values(), *self.roles.values()]

    def arn(self, kind: str, path: str, name: str) -> str:
        """The ARN that an entity of this account has."""
        return identifiers.arn(self.partition, self.account, kind, path, name)

    def having(self, entity: Entity, *, formerly: str | None = None) -> Directory:
        """With the entity added, or in the place of its former self (`formerly` is that one's name)."""
        where = FIELDS[type(entity)]
        table = dict(getattr(self, where))
        table.pop(key(formerly or entity.name), None)
        table[key(entity.name)] = entity
        return self._changed(where, table)

    def lacking(self, entity: Entity) -> Directory:
        """Without the entity."""
        gone = key(entity.name)
        where = FIELDS[type(entity)]
        return self._changed(where, {each: other for each, other in getattr(self, where).items() if each != gone})

    def with_key(self, added: Key) -> Directory:
        return self._changed("keys", {**self.keys, added.access_key_id: added})

    def without_key(self, removed: Key) -> Directory:
        return self._changed("keys", {name: each for name, each in self.keys.items() if name != removed.access_key_id})

    def _changed(self, where: str, table: Mapping[str, Any]) -> Directory:
        changes: dict[str, Any] = {where: table}
        return replace(self, **changes)


Change = Callable[[Directory], Directory]
"""A change of IAM: pure; raises IamError when the rules are against it."""


NamedT = TypeVar("NamedT", User, Group, Role)


def _named(table: Mapping[str, NamedT], name: str, what: str) -> NamedT:
    found = table.get(key(name))
    if found is None or found.name != name:
        raise errors.missing(what, name)
    return found
