"""What authentication and authorisation ask of IAM's storage.

The ledger's `Principals` implements it from a snapshot in memory, so every method is cheap and may be called for each
request. Only the keys of environments' services need a look into the ledger.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal


class IdentityStore(Protocol):
    """Access keys, policies and trust, as they are now."""

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The long-term key of that id, active or not."""

    def granted(self, principal: Principal) -> Granted | None:
        """The policies of a principal; None when it no longer exists, or when another has its name now."""

    def trust(self, role_arn: str) -> PolicyText | None:
        """The trust policy of a role; None when there is no such role."""

    def used(self, access_key_id: str, service: str, region: str, now: datetime) -> None:
        """Notes that a long-term key was used; may be written later."""
