"""Policies of users, groups and roles: attached, inline, and the permissions boundary; and tags of whatever has them.

The same rules for all of them, so they stand once. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aerodrome.model.iam import errors, quotas
from aerodrome.model.iam.directory import Directory
from aerodrome.model.iam.entities import Holder, Policy, Provider, Role, User

Bounded = User | Role
"""Who can have a permissions boundary."""

Tagged = User | Role | Policy | Provider

SERVICE_LINKED_PATH = "/aws-service-role/"
RESERVED_TAG_PREFIX = "aws:"


def attach(directory: Directory, holder: Holder, policy_arn: str) -> Directory:
    """With the managed policy attached; attaching it twice changes nothing."""
    refuse_service_linked(holder)
    attachable(directory, policy_arn)
    if policy_arn in holder.attached:
        return directory
    quotas.check_attached(holder, len(holder.attached) + 1)
    return directory.having(replace(holder, attached=(*holder.attached, policy_arn)))


def detach(directory: Directory, holder: Holder, policy_arn: str) -> Directory:
    """Without the managed policy; it must be attached."""
    refuse_service_linked(holder)
    if policy_arn not in holder.attached:
        raise errors.IamError(errors.NO_SUCH_ENTITY, f"Policy {policy_arn} was not found.")
    kept = tuple(each for each in holder.attached if each != policy_arn)
    return directory.having(replace(holder, attached=kept))


def put_inline(directory: Directory, holder: Holder, name: str, document: str) -> Directory:
    """With the inline policy added, or changed."""
    refuse_service_linked(holder)
    documents = {**holder.inline, name: document}
    quotas.check_inline(holder, documents)
    return directory.having(replace(holder, inline=documents))


def inline(holder: Holder, name: str) -> str:
    """The document of an inline policy."""
    found = holder.inline.get(name)
    if found is None:
        raise errors.missing(f"{type(holder).__name__.lower()} policy", name)
    return found


def delete_inline(directory: Directory, holder: Holder, name: str) -> Directory:
    """Without the inline policy."""
    refuse_service_linked(holder)
    inline(holder, name)
    kept = {each: document for each, document in holder.inline.items() if each != name}
    return directory.having(replace(holder, inline=kept))


def put_boundary(directory: Directory, holder: Bounded, policy_arn: str) -> Directory:
    """With the managed policy as the most that its other policies can allow."""
    refuse_service_linked(holder)
    attachable(directory, policy_arn)
    return directory.having(replace(holder, boundary=policy_arn))


def delete_boundary(directory: Directory, holder: Bounded) -> Directory:
    """Without a permissions boundary; it must have one."""
    refuse_service_linked(holder)
    if holder.boundary is None:
        kind = type(holder).__name__
        sentence = f"{kind} {holder.name} does not have a permissions boundary attached."
        raise errors.IamError(errors.NO_SUCH_ENTITY, sentence)
    return directory.having(replace(holder, boundary=None))


def tag(directory: Directory, entity: Tagged, tags: Mapping[str, str]) -> Directory:
    """With tags added; a key that exists, in whatever case, takes the new value and the new case."""
    new = {key.lower() for key in tags}
    kept = {key: value for key, value in entity.tags.items() if key.lower() not in new}
    return directory.having(replace(entity, tags=checked_tags({**kept, **tags})))


def untag(directory: Directory, entity: Tagged, keys: Iterable[str]) -> Directory:
    """Without tags; keys that do not exist are passed over."""
    gone = set(keys)
    return directory.having(replace(entity, tags={key: each for key, each in entity.tags.items() if key not in gone}))


def checked_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """The tags, when one entity may have them all."""
    for key in tags:
        if key.lower().startswith(RESERVED_TAG_PREFIX):
            sentence = f"Tag keys may not begin with '{RESERVED_TAG_PREFIX}', which is reserved: {key}"
            raise errors.IamError(errors.INVALID_INPUT, sentence)
    if len(tags) > quotas.MOST_TAGS:
        raise errors.limit("TagsPerEntity", quotas.MOST_TAGS)
    return tags


def attachable(directory: Directory, policy_arn: str) -> Policy:
    """The managed policy, when it may be given to somebody."""
    found = directory.policies_by_arn.get(policy_arn)
    if found is None:
        sentence = f"Policy {policy_arn} does not exist or is not attachable."
        raise errors.IamError(errors.NO_SUCH_ENTITY, sentence)
    if found.path.startswith(SERVICE_LINKED_PATH):
        sentence = f"Cannot attach a Service Role Policy to a Customer Role: {policy_arn}"
        raise errors.IamError("PolicyNotAttachable", sentence)
    return found


def refuse_service_linked(holder: Holder) -> None:
    """Raises UnmodifiableEntity for a role that belongs to a service."""
    if isinstance(holder, Role) and holder.path.startswith(SERVICE_LINKED_PATH):
        sentence = (
            f"Cannot perform the operation on the protected role '{holder.name}' - this role is only modifiable by AWS"
        )
        raise errors.IamError(errors.UNMODIFIABLE, sentence)


def check_bare(holder: Holder) -> None:
    """Raises DeleteConflict while policies are left."""
    if holder.attached:
        raise errors.conflict("detach all policies")
    if holder.inline:
        raise errors.conflict("delete policies")
