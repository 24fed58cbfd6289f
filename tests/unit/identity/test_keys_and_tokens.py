"""Keys are made once, secrets open only with their key, tokens say what they should and no more."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.fernet import InvalidToken

from aerodrome.identity import key_files, tokens
from aerodrome.identity.vault import EnvironmentSecrets, Vault


def test_keys_are_made_once_and_for_their_owner_alone(tmp_path):
    first = key_files.vault_key(tmp_path)
    assert key_files.vault_key(tmp_path) == first
    assert key_files.signing_key(tmp_path).private_numbers() == key_files.signing_key(tmp_path).private_numbers()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {"vault.key", "gateway.pem"}


def test_secrets_survive_sealing_and_open_with_no_other_key(tmp_path):
    secret = EnvironmentSecrets.generate()
    sealed = Vault(key_files.vault_key(tmp_path)).seal(secret)
    assert secret.fernet_key.encode() not in sealed
    assert Vault(key_files.vault_key(tmp_path)).open(sealed) == secret
    with pytest.raises(InvalidToken):
        Vault(key_files.vault_key(tmp_path / "other")).open(sealed)


def test_secrets_do_not_show_when_printed():
    secret = EnvironmentSecrets.generate()
    assert secret.fernet_key not in repr(secret)
    assert len(secret.jwt_secret.encode()) >= 64


def test_a_token_holds_for_its_environment_and_minute_only(tmp_path):
    minter = tokens.Minter(key_files.signing_key(tmp_path))
    now = datetime.now(UTC)
    token = minter.mint(subject="user/ada", role="Viewer", environment="one", now=now)
    key = jwt.PyJWKSet.from_dict(minter.key_set())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["RS256"], audience="env:one", issuer=tokens.ISSUER)
    assert (claims["sub"], claims["role"]) == ("user/ada", "Viewer")
    assert claims["exp"] - claims["iat"] == tokens.LIFETIME.total_seconds()
    assert "jti" not in claims
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["RS256"], audience="env:two")
    old = minter.mint(subject="user/ada", role="Viewer", environment="one", now=now - timedelta(minutes=2))
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(old, key, algorithms=["RS256"], audience="env:one")


def test_the_key_set_is_public(tmp_path):
    [key] = tokens.Minter(key_files.signing_key(tmp_path)).key_set()["keys"]
    assert set(key) <= {"kty", "n", "e", "kid", "alg", "use", "key_ops"}


def test_a_single_secret_survives_sealing_and_opens_with_no_other_key(tmp_path):
    sealed = Vault(key_files.vault_key(tmp_path)).seal_secret("schlüssel")
    assert b"schl" not in sealed
    assert Vault(key_files.vault_key(tmp_path)).open_secret(sealed) == "schlüssel"
    with pytest.raises(InvalidToken):
        Vault(key_files.vault_key(tmp_path / "other")).open_secret(sealed)
