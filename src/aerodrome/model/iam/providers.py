"""OpenID Connect providers: whose tokens AssumeRoleWithWebIdentity may look at. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

from aerodrome.model.iam import errors, holders, quotas
from aerodrome.model.iam.directory import Directory, key
from aerodrome.model.iam.entities import Provider

MOST_CLIENT_IDS = 100
MOST_THUMBPRINTS = 5
SCHEMES = ("http", "https")


def create(
    directory: Directory,
    url: str,
    *,
    client_ids: Sequence[str],
    thumbprints: Sequence[str],
    tags: Mapping[str, str] | None = None,
    now: datetime,
) -> Directory:
    """With a new provider."""
    name = provider_name(url)
    if key(name) in directory.providers:
        sentence = f"Provider with url {url} already exists."
        raise errors.IamError(errors.ALREADY_EXISTS, sentence)
    if len(directory.providers) >= quotas.MOST_PROVIDERS:
        raise errors.limit("OpenIdConnectProvidersPerAccount", quotas.MOST_PROVIDERS)
    provider = Provider(
        name=name,
        url=url,
        arn=directory.arn("oidc-provider", "/", name),
        created_at=now,
        client_ids=_checked_client_ids(client_ids),
        thumbprints=_checked_thumbprints(thumbprints),
        tags=holders.checked_tags(tags or {}),
    )
    return directory.having(provider)


def provider_name(url: str) -> str:
    """What a provider is called in its ARN and in condition keys: the URL without its scheme.

    Raises:
        IamError: it is not an issuer's URL that we would ask.
    """
    try:
        parts = urlsplit(url)
        is_plain = bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        is_plain = False
    if not is_plain or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise _invalid(f"Invalid Open ID Connect Provider URL: {url}")
    if parts.scheme not in SCHEMES or (parts.scheme == "http" and not is_loopback(parts)):
        raise _invalid(
            f"Invalid Open ID Connect Provider URL: {url} must begin with https:// (http:// on loopback only)"
        )
    return url.split("://", maxsplit=1)[1].rstrip("/")


def is_loopback(parts: SplitResult) -> bool:
    """True when a URL leads to this machine, where an issuer needs no TLS."""
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def delete(directory: Directory, arn: str) -> Directory:
    """Without the provider; sessions that it brought about stay until they end."""
    return directory.lacking(directory.provider(arn))


def add_client_id(directory: Directory, arn: str, client_id: str) -> Directory:
    """With one more audience; adding twice changes nothing."""
    provider = directory.provider(arn)
    if client_id in provider.client_ids:
        return directory
    return directory.having(replace(provider, client_ids=_checked_client_ids((*provider.client_ids, client_id))))


def remove_client_id(directory: Directory, arn: str, client_id: str) -> Directory:
    """Without an audience; one that is not there is passed over."""
    provider = directory.provider(arn)
    kept = tuple(each for each in provider.client_ids if each != client_id)
    return directory.having(replace(provider, client_ids=kept))


def update_thumbprints(directory: Directory, arn: str, thumbprints: Sequence[str]) -> Directory:
    """With other thumbprints."""
    return directory.having(replace(directory.provider(arn), thumbprints=_checked_thumbprints(thumbprints)))


def _checked_client_ids(client_ids: Sequence[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(client_ids))
    if len(found) > MOST_CLIENT_IDS:
        raise errors.limit("ClientIdsPerOpenIdConnectProvider", MOST_CLIENT_IDS)
    return found


def _checked_thumbprints(thumbprints: Sequence[str]) -> tuple[str, ...]:
    if len(thumbprints) > MOST_THUMBPRINTS:
        raise _invalid(f"Thumbprint list must contain fewer than {MOST_THUMBPRINTS + 1} entries.")
    for each in thumbprints:
        if not set(each.lower()) <= set("0123456789abcdef"):
            raise _invalid("Thumbprint must be 40 hexadecimal digits.")
    return tuple(thumbprints)


def _invalid(sentence: str) -> errors.IamError:
    return errors.IamError(errors.INVALID_INPUT, sentence)
