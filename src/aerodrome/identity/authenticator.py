"""From a signed request to the principal who sent it.

The API calls it once a request, in a thread: the store may have to ask the ledger. `authorizer` decides what the
principal may do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from aerodrome.identity import sigv4
from aerodrome.identity.errors import AuthenticationError, unknown_key
from aerodrome.identity.session_tokens import SessionTokens
from aerodrome.identity.sigv4 import Presented, SignedRequest
from aerodrome.identity.store import IdentityStore
from aerodrome.identity.vault import Vault
from aerodrome.model.principals import Principal


@dataclass(frozen=True, slots=True)
class Proof:
    """A signature that was verified."""

    principal: Principal
    presented: Presented
    secret: str = field(repr=False)
    """What the chunks of a body are signed with as well."""


class Authenticator:
    """Finds the secret behind an access key and verifies with it."""

    def __init__(self, store: IdentityStore, vault: Vault, session_tokens: SessionTokens, region: str) -> None:
        self._store = store
        self._vault = vault
        self._session_tokens = session_tokens
        self._region = region

    def authenticate(self, request: SignedRequest, *, now: datetime, services: frozenset[str]) -> Principal:
        """The principal who signed the request for one of `services`.

        Raises:
            AuthenticationError: nobody signed it, or the signature proves nothing.
        """
        return self.prove(request, sigv4.presented(request), now=now, services=services).principal

    def prove(
        self, request: SignedRequest, presented: Presented | None, *, now: datetime, services: frozenset[str]
    ) -> Proof:
        """As `authenticate` for what the request presents, with what the rest of it is verified by.

        Raises:
            AuthenticationError: nobody signed it, or the signature proves nothing.
        """
        if presented is None:
            raise AuthenticationError("MissingAuthenticationToken", "Missing Authentication Token")
        secret, principal = self._secret(presented, now)
        sigv4.verify(request, presented, secret, now=now, services=services, region=self._region)
        if self._store.granted(principal) is None:
            raise unknown_key(presented.service)
        if presented.session_token is None:
            self._store.used(presented.access_key_id, presented.service, presented.region, now)
        return Proof(principal, presented, secret)

    def recognise(
        self, request: SignedRequest, presented: Presented | None, *, now: datetime, services: frozenset[str]
    ) -> Principal:
        """Whose access key the request presents; its signature may still be wrong. For who is to read a body first.

        Raises:
            AuthenticationError: nobody has this key, its session is over, or the signature cannot be right.
        """
        if presented is None:
            raise AuthenticationError("MissingAuthenticationToken", "Missing Authentication Token")
        sigv4.check_head(request, presented, now=now, services=services, region=self._region)
        _, principal = self._secret(presented, now)
        return principal

    def _secret(self, presented: Presented, now: datetime) -> tuple[str, Principal]:
        if presented.session_token is not None:
            try:
                return self._session_tokens.open(presented.access_key_id, presented.session_token, now)
            except AuthenticationError as error:
                raise (error if error.code == "ExpiredToken" else unknown_key(presented.service)) from None
        key = self._store.access_key(presented.access_key_id)
        if key is None or not key.active:
            raise unknown_key(presented.service)
        return self._vault.open_secret(key.sealed_secret), key.principal
