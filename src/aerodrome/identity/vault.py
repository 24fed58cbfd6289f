"""Secrets of environments and of access keys, and their encryption at rest.

The ledger stores what `Vault.seal` returns and cannot read it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from functools import lru_cache

from cryptography.fernet import Fernet

MOST_REMEMBERED = 1024
"""Opened secrets of access keys: each request needs one."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class EnvironmentSecrets:
    """What an environment must keep for as long as its database lives."""

    fernet_key: str
    """Airflow's key for connections and variables."""

    database_password: str
    jwt_secret: str
    """Airflow 3 signs its execution API's tokens with it; HS512 wants 64 bytes or more."""

    secret_key: str
    """Airflow's session and file-token key."""

    credentials_token: str
    """What a unit shows to the sidecar's credentials endpoint."""

    @classmethod
    def generate(cls) -> EnvironmentSecrets:
        """New secrets from the system's random source."""
        return cls(
            fernet_key=Fernet.generate_key().decode(),
            database_password=secrets.token_urlsafe(32),
            jwt_secret=secrets.token_urlsafe(72),
            secret_key=secrets.token_urlsafe(48),
            credentials_token=secrets.token_urlsafe(32),
        )


class Vault:
    """Seals and opens secrets with one key."""

    def __init__(self, key: bytes) -> None:
        self._fernet = Fernet(key)
        self._opened = lru_cache(maxsize=MOST_REMEMBERED)(self._fernet.decrypt)

    def seal(self, opened: EnvironmentSecrets) -> bytes:
        return self._fernet.encrypt(json.dumps(asdict(opened)).encode())

    def open(self, sealed: bytes) -> EnvironmentSecrets:
        """Raises cryptography's InvalidToken when the vault key is not the one that sealed."""
        return EnvironmentSecrets(**json.loads(self._fernet.decrypt(sealed)))

    def seal_secret(self, secret: str) -> bytes:
        """Seals one text, such as the secret of an access key."""
        return self._fernet.encrypt(secret.encode())

    def open_secret(self, sealed: bytes) -> str:
        """What `seal_secret` sealed; raises InvalidToken as `open` does."""
        return self._opened(sealed).decode()
