"""The local authority and its leaf: made once, private, for our names alone, renewed in time."""

from __future__ import annotations

import ipaddress
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from aerodrome.errors import CallerError
from aerodrome.gateway import certificates
from aerodrome.gateway.certificates import Certificates, Files
from aerodrome.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOMAIN = "us-east-1.airflow.localhost"


@pytest.fixture
def at(tmp_path):
    return Files(tmp_path / "ca")


def leaf(at):
    return x509.load_pem_x509_certificate(at.leaf.read_bytes())


def verified(at, name, now=NOW):
    authority = x509.load_pem_x509_certificate(at.authority.read_bytes())
    verifier = PolicyBuilder().store(Store([authority])).time(now).build_server_verifier(x509.DNSName(name))
    return verifier.verify(leaf(at), [])


def test_the_leaf_holds_for_every_environment_and_nothing_else(at):
    certificates.ensure_leaf(at, DOMAIN, NOW)
    for name in (f"0123abcd.{DOMAIN}", DOMAIN, "localhost"):
        assert verified(at, name)
    for name in ("example.com", f"a.b.{DOMAIN}", "0123abcd.eu-west-1.airflow.localhost"):
        with pytest.raises(VerificationError):
            verified(at, name)
    names = leaf(at).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
    assert set(names.get_values_for_type(x509.IPAddress)) == addresses


def test_the_authority_may_sign_for_names_of_ours_only(at):
    authority = certificates.ensure_authority(at, "airflow.example.com", NOW)
    limits = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert limits.critical
    named = [each.value for each in limits.value.permitted_subtrees if isinstance(each, x509.DNSName)]
    assert named == ["localhost", "airflow.example.com"]


def test_files_are_private(at):
    certificates.ensure_leaf(at, DOMAIN, NOW)
    assert stat.S_IMODE(at.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in at.folder.iterdir()} == {0o600}
    assert len(list(at.folder.iterdir())) == 3


def test_authority_and_leaf_stay_and_the_leaf_is_renewed_in_time(at):
    certificates.ensure_leaf(at, DOMAIN, NOW)
    authority, first = at.authority.read_bytes(), leaf(at)
    certificates.ensure_leaf(at, DOMAIN, NOW + timedelta(days=59))
    assert leaf(at) == first
    later = NOW + timedelta(days=61)
    certificates.ensure_leaf(at, DOMAIN, later)
    assert leaf(at) != first
    assert verified(at, DOMAIN, later + timedelta(days=80))
    assert at.authority.read_bytes() == authority


def test_a_leaf_for_other_names_or_by_another_authority_is_replaced(at):
    certificates.ensure_leaf(at, DOMAIN, NOW)
    certificates.ensure_leaf(at, "eu-west-1.airflow.localhost", NOW)
    assert verified(at, "0123abcd.eu-west-1.airflow.localhost")
    at.authority.unlink()
    certificates.ensure_leaf(at, DOMAIN, NOW)
    assert verified(at, DOMAIN)
    at.leaf.write_bytes(b"rubbish")
    certificates.ensure_leaf(at, DOMAIN, NOW)
    assert verified(at, DOMAIN)


def test_another_domain_needs_another_authority(at):
    certificates.ensure_leaf(at, DOMAIN, NOW)
    with pytest.raises(CallerError, match=r"airflow\.example\.com"):
        certificates.ensure_leaf(at, "airflow.example.com", NOW)


def test_the_context_takes_a_renewed_leaf(tmp_path):
    settings = Settings(data=tmp_path)
    kept = Certificates(settings, now=NOW)
    assert not kept.renew(NOW)
    assert kept.renew(NOW + timedelta(days=70))
    assert not kept.renew(NOW + timedelta(days=71))


def test_a_certificate_of_one_s_own(tmp_path):
    at = Files(tmp_path / "own")
    path = str(certificates.ensure_leaf(at, DOMAIN, NOW))
    data = tmp_path / "data"
    kept = Certificates(Settings(data=data, gateway_certificate=path, gateway_key=path), now=NOW)
    assert kept.renew(NOW)
    assert not data.exists()
    for wrong in (
        {"gateway_certificate": path},
        {"gateway_key": path},
        {"gateway_certificate": path, "gateway_key": str(tmp_path / "absent")},
        {"gateway_certificate": str(at.authority), "gateway_key": path},
    ):
        with pytest.raises(CallerError, match="AERODROME_GATEWAY_CERTIFICATE"):
            Certificates(Settings(data=data, **wrong), now=NOW)
