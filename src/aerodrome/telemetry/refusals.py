"""What CloudWatch Logs refuses: AWS's code and a sentence. Every module here raises it; `wire` writes it."""

from __future__ import annotations

INVALID = "InvalidParameterException"
NOT_FOUND = "ResourceNotFoundException"
EXISTS = "ResourceAlreadyExistsException"
UNAVAILABLE = "ServiceUnavailableException"
THROTTLED = "ThrottlingException"
LIMIT = "LimitExceededException"
MALFORMED = "MalformedQueryException"


class TelemetryRefusedError(Exception):
    """The request is not carried out; `code` is AWS's word for why."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)  # both, so that it comes whole out of a worker
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def invalid(sentence: str) -> TelemetryRefusedError:
    return TelemetryRefusedError(INVALID, sentence)
