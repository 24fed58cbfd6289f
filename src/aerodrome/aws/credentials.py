"""The control plane's own credentials for the configured AWS endpoint.

The emulator gets fixed ones. For the real AWS, boto3 asks the host's chain. For another endpoint, a person provides a
file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from aerodrome import errors
from aerodrome.settings import AWS, EMBEDDED, Settings

EMULATOR_KEY = "test"
"""The key that means MiniStack's default account; it checks no signature, and only loopback reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key; a role's key is temporary and has a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


EMULATOR = Credentials(access_key_id=EMULATOR_KEY, secret_access_key=EMULATOR_KEY)

KEY_FILE = "aws"
"""The file in the data folder's `keys` with `AccessKeyId` and `SecretAccessKey` for another endpoint."""


def configured(settings: Settings) -> Credentials | None:
    """The credentials for the endpoint that the settings name; None = what boto3 finds on the host.

    Another endpoint without a key file counts as an emulator, which accepts any key.

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
