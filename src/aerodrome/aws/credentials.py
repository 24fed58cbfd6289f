"""The control plane's own credentials towards the configured AWS endpoint. Asks nobody; real AWS has its own chain."""

from __future__ import annotations

from dataclasses import dataclass, field

EMULATOR_KEY = "test"
"""What MiniStack takes for its default account; it checks no signature, and only loopback reaches it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """An access key; one of a role is temporary and has a session token."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


EMULATOR = Credentials(access_key_id=EMULATOR_KEY, secret_access_key=EMULATOR_KEY)
