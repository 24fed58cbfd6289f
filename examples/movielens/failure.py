"""What the quickstart says when a step fails: one sentence, and where to look. Never a traceback."""

from __future__ import annotations

import botocore.exceptions as aws

STATUS = "aerodrome status"
DOCTOR = "aerodrome doctor"


class QuickstartError(Exception):
    """A step failed; the message is a sentence, and `look` says what to do or where to look next."""

    def __init__(self, sentence: str, *, look: str = STATUS) -> None:
        super().__init__(sentence)
        self.look = look


def told(error: BaseException) -> QuickstartError:
    """Turn whatever ended the quickstart into a sentence."""
    if isinstance(error, QuickstartError):
        return error
    if isinstance(error, aws.ClientError):
        refusal = error.response.get("Error", {})
        reason = f"{refusal.get('Code', 'Unknown')}: {refusal.get('Message') or 'no reason was given'}"
        return QuickstartError(f"{error.operation_name} was refused: {reason}")
    if isinstance(error, aws.EndpointConnectionError | aws.ConnectionClosedError | aws.HTTPClientError):
        return QuickstartError(f"Aerodrome's API does not answer: {error}", look=DOCTOR)
    if isinstance(error, aws.BotoCoreError):
        return QuickstartError(f"the AWS client cannot go on: {error}", look=DOCTOR)
    if isinstance(error, KeyboardInterrupt):
        return QuickstartError("interrupted; what was made so far stays, and running it again goes on from there")
    return QuickstartError(f"something unexpected happened: {type(error).__name__}: {error}", look=DOCTOR)
