"""Temporary credentials that no store holds: the session token itself says whose it is, sealed and authenticated.

STS issues them, `authenticator` opens them. The secret is derived from the token, so it is written nowhere. A token
proves what STS granted when it was issued. At each request the store says whether the role still exists.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import zlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from aerodrome.identity.errors import AuthenticationError, PackedPolicyTooLargeError
from aerodrome.model.principals import Principal, PrincipalKind

MAX_TOKEN = 12 * 1024
"""Characters of a session token; a web server takes headers of 16 KiB and more."""
MAX_POLICIES = 11
"""One inline session policy and ten managed ones."""
MAX_POLICY = 6144
"""Characters of the largest managed policy."""
MAX_TAGS = 50

_NONCE_BYTES = 12
_KEY_BYTES = 32
_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ID_LENGTH = 16
_SECRET_LENGTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class TemporaryCredentials:
    """What AssumeRole answers with."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime
    packed_size: int
    """Percent of the largest token: STS's PackedPolicySize."""
    principal: Principal
    """Whose credentials they are, with the times of the session."""


class SessionTokens:
    """Issues and opens session tokens, with keys derived from one of the control plane's."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_derived(key, b"aerodrome session token"))
        self._secret_key = _derived(key, b"aerodrome session secret")

    def issue(self, principal: Principal, *, now: datetime, duration: timedelta) -> TemporaryCredentials:
        """New credentials for the session.

        Raises:
            PackedPolicyTooLargeError: policies and tags do not fit into a token.
        """
        begun = replace(principal, issued_at=now, expires_at=now + duration)
        packed = zlib.compress(json.dumps(_as_json(begun), separators=(",", ":")).encode(), level=9)
        key_id = "ASIA" + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, packed, key_id.encode())
        token = base64.b64encode(sealed).decode()
        percent = -(-len(token) * 100 // MAX_TOKEN)
        policies = principal.session_policies
        if percent > 100 or len(policies) > MAX_POLICIES or any(len(text) > MAX_POLICY for text in policies):  # noqa: PLR2004
            raise PackedPolicyTooLargeError(
                f"The session's policies and tags take {percent}% of what a session token can hold; "
                f"at most {MAX_POLICIES} policies of {MAX_POLICY} characters are taken. Give fewer or shorter ones."
            )
        if len(principal.tags) > MAX_TAGS:
            raise PackedPolicyTooLargeError(f"A session takes at most {MAX_TAGS} tags; give fewer.")
        return TemporaryCredentials(
            access_key_id=key_id,
            secret_access_key=self._secret(key_id, token),
            session_token=token,
            expiration=now + duration,
            packed_size=percent,
            principal=begun,
        )

    def open(self, access_key_id: str, session_token: str, now: datetime) -> tuple[str, Principal]:
        """The secret of the credentials and who they are.

        Raises:
            AuthenticationError: InvalidClientTokenId when it is not ours for that key, ExpiredToken when it is over.
        """
        invalid = AuthenticationError("InvalidClientTokenId", "The security token included in the request is invalid.")
        if len(session_token) > MAX_TOKEN or len(access_key_id) != len("ASIA") + _ID_LENGTH:
            raise invalid
        try:
            sealed = base64.b64decode(session_token, validate=True)
            packed = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], access_key_id.encode())
        except (binascii.Error, ValueError, InvalidTag):
            raise invalid from None
        # Only what we sealed ourselves comes this far, so its size and form are what we made them.
        principal = _from_json(json.loads(zlib.decompress(packed)))
        if principal.expires_at is None or principal.expires_at <= now:
            raise AuthenticationError("ExpiredToken", "The security token included in the request is expired")
        return self._secret(access_key_id, session_token), principal

    def _secret(self, key_id: str, token: str) -> str:
        digest = hmac.digest(self._secret_key, f"{key_id}\n{token}".encode(), "sha256")
        return base64.b64encode(digest).decode()[:_SECRET_LENGTH]


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=_KEY_BYTES, salt=None, info=purpose).derive(key)


def _as_json(principal: Principal) -> dict[str, Any]:
    found = asdict(principal)
    times = {name: found[name].timestamp() for name in ("issued_at", "expires_at") if found[name] is not None}
    found.update(times)
    return {name: value for name, value in found.items() if value is not None}


def _from_json(found: dict[str, Any]) -> Principal:
    for name in ("issued_at", "expires_at"):
        found[name] = datetime.fromtimestamp(found[name], UTC)
    kind = PrincipalKind(found.pop("kind"))
    return Principal(kind=kind, session_policies=tuple(found.pop("session_policies")), **found)
