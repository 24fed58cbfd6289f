"""The control plane's own keys: made once, kept in files of mode 0600, read at start.

The vault key encrypts secrets in the ledger. The RSA key signs the tokens that Airflow trusts. The session key seals
temporary credentials. From the service key the access keys of environments' own parts are derived.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from aerodrome import private_files

KEY_BYTES = 32
"""Length of a key from which others are derived."""

RSA_BITS = 2048
"""RS256's usual size; a signature takes about a millisecond."""


def vault_key(folder: Path) -> bytes:
    """The key that the ledger's secrets are encrypted with; made when absent."""
    return _made_once(folder / "vault.key", Fernet.generate_key)


def signing_key(folder: Path) -> rsa.RSAPrivateKey:
    """The private key behind the tokens that Airflow accepts; made when absent."""
    pem = _made_once(folder / "gateway.pem", _new_signing_key)
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{folder / 'gateway.pem'} holds no RSA key")
    return key


def session_key(folder: Path) -> bytes:
    """The key that temporary credentials are sealed with; made when absent."""
    return _made_once(folder / "sessions.key", lambda: secrets.token_bytes(KEY_BYTES))


def service_key(folder: Path) -> bytes:
    """The key that the access keys of environments' own parts are derived from; made when absent."""
    return _made_once(folder / "services.key", lambda: secrets.token_bytes(KEY_BYTES))


def scrape_token(folder: Path) -> str:
    """What Prometheus proves itself with; made when absent."""
    return _made_once(folder / "scrape-token", lambda: secrets.token_urlsafe(32).encode()).decode()


def ledger_password(folder: Path) -> str:
    """The password of the ledger's database role; made when absent."""
    return _made_once(folder / "ledger", lambda: secrets.token_urlsafe(24).encode()).decode()


def _new_signing_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _made_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content; a missing file is made whole or not at all, and never replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process was first; its key counts
            private_files.create(path, make())
    return path.read_bytes()
