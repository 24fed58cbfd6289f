"""The control plane's own credentials towards the configured AWS endpoint.

The emulator takes fixed ones, the real AWS the host's chain (boto3 asks it), another endpoint a file of the person's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from aerodrome import errors
from aerodrome.settings import AWS, EMBEDDED, Settings

EMULATOR_KEY = "test"
"""What MiniStack takes for its default account; it checks no signature, and only loopback reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key; one of a role is temporary and has a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


EMULATOR = Credentials(access_key_id=EMULATOR_KEY, secret_access_key=EMULATOR_KEY)

KEY_FILE = "aws"
"""The file below the data folder's `keys` that holds `AccessKeyId` and `SecretAccessKey` for another endpoint."""


def configured(settings: Settings) -> Credentials | None:
    """The credentials for the endpoint that the settings name; None means what boto3 finds on the host.

    Another endpoint without a key file is taken for an emulator, which accepts any key.

    Raises:
        CallerError: the key file cannot be read.
    """
    if settings.aws_endpoint_url == AWS:
        return None
    file = settings.paths.keys / KEY_FILE
    if settings.aws_endpoint_url == EMBEDDED or not file.exists():
        return EMULATOR
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        return Credentials(
            access_key_id=document["AccessKeyId"],
            secret_access_key=document["SecretAccessKey"],
            session_token=document.get("SessionToken"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        message = f'{file} must be JSON like {{"AccessKeyId": "...", "SecretAccessKey": "..."}}'
        raise errors.CallerError(message) from None
