"""The refusals of this room, in AWS's words: nobody proved who sent this, and this is no policy.

The verification of signatures and the policy parser raise them; the API turns them into the protocol's error shapes.
"""

from __future__ import annotations

from aerodrome.errors import CallerError

NOT_VALID = "The security token included in the request is invalid."


class AuthenticationError(CallerError):
    """The request does not prove who sent it; `code` is AWS's name for the error, without a protocol's suffix."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MalformedPolicyError(CallerError):
    """A document is no policy by IAM's grammar; IAM and STS answer with MalformedPolicyDocument and `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PackedPolicyTooLargeError(CallerError):
    """The session policies and tags of a session are too large to seal into its token; STS has the same error."""


def unknown_key(service: str) -> AuthenticationError:
    """Nobody has this access key, or its token; the query protocols of IAM and STS have a code of their own for it."""
    code = "InvalidClientTokenId" if service in {"iam", "sts"} else "UnrecognizedClientException"
    return AuthenticationError(code, NOT_VALID)


def incomplete(message: str) -> AuthenticationError:
    return AuthenticationError("IncompleteSignature", message)


def mismatch(message: str) -> AuthenticationError:
    return AuthenticationError("SignatureDoesNotMatch", message)
