"""Verify the gateway's token: an RS256 JWT that lives a minute and names a user and a role.

All lines share it (PyJWT 1.7 and later). It holds public keys only: whoever reads everything here can forge nothing.
"""

from __future__ import annotations

import json
import os
from typing import Any

import jwt
from jwt.algorithms import RSAAlgorithm

from .permissions import LEVELS

ALGORITHM = "RS256"
LEEWAY = 5
"""Seconds that two clocks may differ."""
REQUIRED = ("sub", "role", "aud", "iss", "iat", "nbf", "exp")
ROLES = tuple(LEVELS)


class TokenVerifier:
    """Says whom the gateway names in a token."""

    def __init__(self, jwks: str, issuer: str, audience: str) -> None:
        self._path = jwks
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, Any] = {}
        self._stamp: tuple[int, int] | None = None

    def identify(self, token: str) -> tuple[str, str]:
        """User and role.

        Raises:
            jwt.InvalidTokenError: the token is not as the gateway makes them.
        """
        header = jwt.get_unverified_header(token)
        if header.get("alg") != ALGORITHM:
            raise jwt.InvalidTokenError("the algorithm is not " + ALGORITHM)
        claims = jwt.decode(
            token,
            self._key(header.get("kid")),
            algorithms=[ALGORITHM],
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY,
        )
        missing = [name for name in REQUIRED if not claims.get(name)]
        if missing or not isinstance(claims["sub"], str) or claims["role"] not in ROLES:
            raise jwt.InvalidTokenError("a claim is missing or unknown")
        return claims["sub"], claims["role"]

    def _key(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise jwt.InvalidTokenError("no key is named")
        self._read()
        if name not in self._keys:
            raise jwt.InvalidTokenError("the key is unknown")
        return self._keys[name]

    def _read(self) -> None:
        """Read the file again when it was replaced: keys may change while the server runs."""
        try:
            status = os.stat(self._path)
            stamp = (status.st_mtime_ns, status.st_ino)
            if stamp == self._stamp:
                return
            with open(self._path, encoding="utf-8") as file:
                document = json.load(file)
            self._keys = {
                key["kid"]: RSAAlgorithm.from_jwk(json.dumps(key))
                for key in document["keys"]
                if key.get("kty") == "RSA"
            }
            self._stamp = stamp
        except (OSError, ValueError, KeyError, TypeError):
            raise jwt.InvalidTokenError("the gateway's keys cannot be read") from None
