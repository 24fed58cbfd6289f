"""The two refusals of this room, in AWS's words: who you are is not proven, and this is no policy.

Raised by the verification of signatures and the policy parser; the API turns them into the protocol's error shapes.
"""

from __future__ import annotations

from aerodrome.errors import CallerError

NOT_VALID = "The security token included in the request is invalid."


class AuthenticationError(CallerError):
    """The request does not prove who sent it; `code` is AWS's name of the error, without a protocol's suffix."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MalformedPolicyError(CallerError):
    """A document is no policy of IAM's grammar; IAM and STS answer with MalformedPolicyDocument and `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PackedPolicyTooLargeError(CallerError):
    """The session policies and tags of a session are too large to seal into its token; STS has the same error."""


def unknown_key(service: str) -> AuthenticationError:
    """The access key, or its token, is nobody's: the query protocols of IAM and STS and the others name it apart."""
    code = "InvalidClientTokenId" if service in {"iam", "sts"} else "UnrecognizedClientException"
    return AuthenticationError(code, NOT_VALID)


def incomplete(message: str) -> AuthenticationError:
    return AuthenticationError("IncompleteSignature", message)


def mismatch(message: str) -> AuthenticationError:
    return AuthenticationError("SignatureDoesNotMatch", message)
