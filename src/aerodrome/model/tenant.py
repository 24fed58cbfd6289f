"""An environment as backends know it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """What never changes of an environment, and its secrets."""

    name: str
    identifier: str
    """8 hex characters; in every name of a thing that is the environment's."""

    arn: str
    number: int
    sealed_secrets: bytes = field(default=b"", repr=False)
    """Encrypted by identity.vault."""
