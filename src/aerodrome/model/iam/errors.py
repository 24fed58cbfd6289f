"""The refusals of IAM and STS, by the codes that AWS gives them.

Raised by the rules of this package and by the operations of `api/iam` and `api/sts`; the query protocol turns them into
XML.
"""

from __future__ import annotations

from aerodrome.errors import CallerError

NO_SUCH_ENTITY = "NoSuchEntity"
ALREADY_EXISTS = "EntityAlreadyExists"
DELETE_CONFLICT = "DeleteConflict"
LIMIT_EXCEEDED = "LimitExceeded"
INVALID_INPUT = "InvalidInput"
UNMODIFIABLE = "UnmodifiableEntity"
MALFORMED_POLICY = "MalformedPolicyDocument"
ACCESS_DENIED = "AccessDenied"
VALIDATION = "ValidationError"


class IamError(CallerError):
    """A refusal; `code` is the word in `<Code>`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def missing(what: str, name: str) -> IamError:
    """There is no `what` of that name, as AWS says it."""
    return IamError(NO_SUCH_ENTITY, f"The {what} with name {name} cannot be found.")


def conflict(what_first: str) -> IamError:
    """An entity cannot go before something else has."""
    return IamError(DELETE_CONFLICT, f"Cannot delete entity, must {what_first} first.")


def limit(quota: str, most: int) -> IamError:
    """A quota, by its name in IAM's account summary, would be exceeded."""
    return IamError(LIMIT_EXCEEDED, f"Cannot exceed quota for {quota}: {most}")
