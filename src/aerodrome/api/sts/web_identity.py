"""Verifies a web identity token (issuer, signature, audience, time), and says who its subject is.

`assume` calls it with the providers that are registered in IAM. Nothing in a token is trusted before its signature.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt

from aerodrome.api.sts.issuers import Issuers
from aerodrome.model.iam import quotas
from aerodrome.model.iam.entities import Provider
from aerodrome.model.iam.errors import VALIDATION, IamError

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures that a public key verifies; none with a shared secret, and never `none`."""

LEEWAY = timedelta(minutes=1)
"""How far the issuer's clock may be ahead of ours."""

LONGEST_SUBJECT = 255

TAGS = "https://aws.amazon.com/tags"
"""The claim of session tags: `principal_tags`, each with one value, and `transitive_tag_keys`."""

LONGEST_TAG_KEY, LONGEST_TAG_VALUE = 128, 256

_UNCHECKED = {"verify_signature": False}
_OURS = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False, "verify_iss": False}
"""PyJWT verifies only the signature; we compare times with the request's time, and the rest with the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebIdentity:
    """The subject of a verified token."""

    provider: Provider
    subject: str
    audiences: tuple[str, ...]
    """The token's audiences that are registered with the provider; for a token with `azp`, only that one."""
    methods: tuple[str, ...]
    """How the subject signed in (`amr`)."""
    tags: Mapping[str, str]
    """Session tags; the trust policy must allow sts:TagSession for them."""

    @property
    def context(self) -> dict[str, tuple[str, ...]]:
        """The condition keys of trust policies, such as `issuer.example:sub`."""
        name = self.provider.name.lower()
        found = {f"{name}:aud": self.audiences, f"{name}:sub": (self.subject,), f"{name}:amr": self.methods}
        return {key: values for key, values in found.items() if values}


async def verified(token: str, providers: Iterable[Provider], issuers: Issuers, *, now: datetime) -> WebIdentity:
    """The subject of the token, after all checks.

    Raises:
        IamError: InvalidIdentityToken, ExpiredTokenException or IDPCommunicationError.
    """
    header, unverified = _opened(token)
    issuer = str(unverified.get("iss", ""))
    provider = next((each for each in providers if each.url.rstrip("/") == issuer.rstrip("/")), None)
    if provider is None:
        raise _invalid(f"No OpenIDConnect provider found in your account for {issuer[:255]}")
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise _invalid("The token's algorithm is none that a public key verifies.")
    key = await issuers.key(provider.url, header.get("kid"), algorithm)
    try:
        claims = jwt.decode(token, key, algorithms=[algorithm], options=_OURS)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _invalid("The signature of the token is not valid.") from None
    _check_times(claims, now)
    return _identity(claims, provider)


def _opened(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    try:
        found = jwt.decode_complete(token, options=_UNCHECKED)  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise _invalid(
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
        ) from None
    header, claims = found["header"], found["payload"]
    if not isinstance(header.get("kid"), str | None):
        raise _invalid("The token's key id is not a string.")
    return header, claims


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    if expires <= now:
        sentence = (
            f"Token expired: current date/time {now:%Y-%m-%dT%H:%M:%SZ} must be before the expiration date/time "
            f"{expires:%Y-%m-%dT%H:%M:%SZ}"
        )
        raise IamError("ExpiredTokenException", sentence)
    begins = _moment(claims, "nbf") if "nbf" in claims else issued
    if max(begins, issued) > now + LEEWAY:
        raise _invalid("The token is not valid yet.")


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _invalid(f"Missing or malformed claim: {name}")


def _identity(claims: Mapping[str, Any], provider: Provider) -> WebIdentity:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
        raise _invalid("Missing or malformed claim: sub")
    audiences = _texts(claims.get("azp")) or _texts(claims.get("aud"))
    registered = tuple(each for each in audiences if each in provider.client_ids)
    if not registered:
        raise _invalid("Incorrect token audience")
    return WebIdentity(
        provider=provider,
        subject=subject,
        audiences=registered,
        methods=_texts(claims.get("amr")),
        tags=_tags(claims.get(TAGS)),
    )


def _tags(claim: Any) -> dict[str, str]:
    """The session tags of a token."""
    if claim is None:
        return {}
    # Entra ID sends the claim as text.
    claim = _parsed(claim) if isinstance(claim, str) else claim
    if not isinstance(claim, dict) or not isinstance(claim.get("principal_tags", {}), dict):
        raise _invalid(f"Malformed claim: {TAGS}")
    if claim.get("transitive_tag_keys"):
        raise IamError(VALIDATION, "transitive_tag_keys are not offered by this release of Aerodrome: leave them out.")
    found = {key: _texts(values) for key, values in claim.get("principal_tags", {}).items()}
    fits = all(
        len(values) == 1 and 0 < len(key) <= LONGEST_TAG_KEY and len(values[0]) <= LONGEST_TAG_VALUE
        for key, values in found.items()
    )
    if not fits or len(found) > quotas.MOST_TAGS or len({key.lower() for key in found}) != len(found):
        raise _invalid(f"Malformed claim: {TAGS}")
    return {key: values[0] for key, values in found.items()}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts(value: Any) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    return tuple(each for each in listed if isinstance(each, str))


def _invalid(sentence: str) -> IamError:
    return IamError("InvalidIdentityToken", sentence)
