"""The tokens that Airflow's web servers trust: RS256, one minute, one environment, one role.

Airflow holds the public key alone (`key_set`), so nothing inside an environment can make one.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

ISSUER = "aerodrome"
LIFETIME = timedelta(seconds=60)


def audience(environment: str) -> str:
    """The audience claim of tokens for an environment."""
    return f"env:{environment}"


class Minter:
    """Mints tokens with the control plane's private key."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._key_id = hashlib.sha256(der).hexdigest()[:16]

    def mint(self, *, subject: str, role: str, environment: str, now: datetime) -> str:
        """A token with which `subject` acts as `role` in `environment` for the next minute."""
        claims = {
            "sub": subject,
            "role": role,
            "aud": audience(environment),
            "iss": ISSUER,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
        }
        return jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self._key_id})

    def key_set(self) -> dict[str, Any]:
        """The public half as a JSON Web Key Set."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self._key_id, "alg": "RS256", "use": "sig"}]}
