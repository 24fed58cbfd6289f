"""The public keys of OpenID Connect issuers: fetched by discovery, kept for a while, found by key id.

`web_identity` asks for the key of a token whose issuer is registered. Anybody can send tokens, so what a stranger can
make us fetch is bounded: unknown key ids cause one fetch a minute, and a failed fetch is not repeated at once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from aerodrome.api.sts import fetching
from aerodrome.api.sts.fetching import FetchError
from aerodrome.model.iam.errors import IamError
from aerodrome.model.iam.providers import is_loopback

KEPT = 3600.0
"""Seconds that a key set is used before it is fetched again."""

FOR_NEW_KEY = 60.0
"""Seconds between two fetches for key ids that are not in the set."""

AFTER_FAILURE = 5.0
"""Seconds before an issuer that failed is asked again."""

MOST_KEYS = 100
MOST_ISSUERS = 200
"""Issuers whose keys are kept; IAM registers a hundred at most, so more must have been removed."""

SMALLEST_RSA = 2048
"""Bits that an RSA key must have."""

Fetch = Callable[[str], Awaitable[bytes]]
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


@dataclass
class _Issuer:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keys: Mapping[str | None, tuple[PublicKey, str | None]] = field(default_factory=dict)
    """Key id → key, and the one algorithm that it is for, if the issuer names one."""
    fetched_at: float | None = None
    failed_at: float | None = None
    failure: str = ""


class Issuers:
    """The keys of issuers; `fetch` brings a document."""

    def __init__(self, fetch: Fetch = fetching.fetch, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._issuers: dict[str, _Issuer] = {}

    async def key(self, url: str, key_id: str | None, algorithm: str) -> PublicKey:
        """The issuer's key with that id, for the algorithm.

        Raises:
            IamError: IDPCommunicationError, the issuer cannot be reached; InvalidIdentityToken, it has no such key.
        """
        issuer = self._issuers.setdefault(url, _Issuer())
        if len(self._issuers) > MOST_ISSUERS:
            self._issuers.pop(next(iter(self._issuers)))
        async with issuer.lock:
            if self._is_due(issuer, key_id):
                await self._refresh(url, issuer)
        found = issuer.keys.get(key_id)
        if found is None and key_id is None and len(issuer.keys) == 1:
            found = next(iter(issuer.keys.values()))
        if found is None or found[1] not in {None, algorithm}:
            raise IamError("InvalidIdentityToken", f"The issuer {url} has no key that this token can be verified with.")
        return found[0]

    def _is_due(self, issuer: _Issuer, key_id: str | None) -> bool:
        now = self._monotonic()
        if issuer.failed_at is not None and now - issuer.failed_at < AFTER_FAILURE:
            if not issuer.keys:
                raise IamError("IDPCommunicationError", issuer.failure)
            return False
        if issuer.fetched_at is None or now - issuer.fetched_at >= KEPT:
            return True
        return key_id is not None and key_id not in issuer.keys and now - issuer.fetched_at >= FOR_NEW_KEY

    async def _refresh(self, url: str, issuer: _Issuer) -> None:
        try:
            issuer.keys = await self._keys(url)
        except FetchError as error:
            issuer.failed_at, issuer.failure = self._monotonic(), f"The issuer {url} cannot be asked: {error}"
            # Old keys are not used any longer: the issuer may have withdrawn one.
            if issuer.fetched_at is None or issuer.failed_at - issuer.fetched_at >= KEPT:
                issuer.keys = {}
                raise IamError("IDPCommunicationError", issuer.failure) from error
            return
        issuer.fetched_at, issuer.failed_at = self._monotonic(), None

    async def _keys(self, url: str) -> Mapping[str | None, tuple[PublicKey, str | None]]:
        address = f"{url.rstrip('/')}/.well-known/openid-configuration"
        document = _object(await self._fetch(address), address)
        if str(document.get("issuer")).rstrip("/") != url.rstrip("/"):
            raise FetchError(f"{address} speaks for another issuer")
        where = document.get("jwks_uri")
        if not isinstance(where, str) or not _may_lead(url, where):
            raise FetchError(f"{address} names no jwks_uri that begins with https://")
        listed = _object(await self._fetch(where), where).get("keys")
        if not isinstance(listed, list):
            raise FetchError(f"{where} is no key set")
        found: dict[str | None, tuple[PublicKey, str | None]] = {}
        for each in listed[:MOST_KEYS]:
            key = _public_key(each)
            if key is not None:
                found[each.get("kid")] = (key, each.get("alg"))
        return found


def _object(content: bytes, where: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise FetchError(f"{where} is no JSON object")
    return document


def _may_lead(issuer: str, where: str) -> bool:
    """Whether an issuer's keys may be at this address: over TLS, or on loopback if the issuer is there without TLS."""
    try:
        parts, own = urlsplit(where), urlsplit(issuer)
        if not parts.hostname or parts.username is not None:
            return False
        return parts.scheme == "https" or (own.scheme == parts.scheme == "http" and is_loopback(parts))
    except ValueError:
        return False


def _public_key(document: Any) -> PublicKey | None:
    """A key that verifies signatures; None for every other key, such as a shared secret."""
    if not isinstance(document, dict) or document.get("use", "sig") != "sig":
        return None
    if not isinstance(document.get("kid"), str | None) or document.get("kty") not in {"RSA", "EC", "OKP"}:
        return None
    try:
        key = jwt.PyJWK({name: value for name, value in document.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return key if key.key_size >= SMALLEST_RSA else None
    return key if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) else None
