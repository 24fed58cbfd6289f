"""The certificate that the gateway serves with: the operator's own, or one by a local authority that is made once.

The authority signs only for names below localhost and the configured domain, so trusting it risks nothing else.
`aerodrome trust` shows its certificate; its key never leaves `<data>/ca`. The leaf is renewed long before it ends, also
while the gateway runs.
"""

from __future__ import annotations

import ipaddress
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aerodrome import private_files
from aerodrome.errors import CallerError
from aerodrome.settings import Paths, Settings

AUTHORITY_LIFETIME = timedelta(days=3650)

LEAF_LIFETIME = timedelta(days=90)

RENEWED_BEFORE = timedelta(days=30)
"""The leaf is made anew when it is valid for less than this."""

BACKDATED = timedelta(hours=1)
"""So much earlier than now a certificate begins: clients' clocks may be slow."""

LOCALHOST = "localhost"


@dataclass(frozen=True)
class Files:
    """Where the local authority's files lie."""

    folder: Path

    @property
    def authority(self) -> Path:
        """The certificate that people may trust."""
        return self.folder / "ca.pem"

    @property
    def authority_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def leaf(self) -> Path:
        """Private key and certificate of the gateway, one behind the other."""
        return self.folder / "gateway.pem"


def files(paths: Paths) -> Files:
    return Files(paths.ca)


class Certificates:
    """What the gateway serves with; `context` stays the same object, and `renew` puts a new leaf into it."""

    def __init__(self, settings: Settings, *, now: datetime) -> None:
        """Make what is missing and load it.

        Raises:
            CallerError: the certificate of the settings cannot be used, or the authority is for another domain.
        """
        self._settings = settings
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        self.context.set_alpn_protocols(["http/1.1"])
        if bool(settings.gateway_certificate) != bool(settings.gateway_key):
            raise CallerError("Set AERODROME_GATEWAY_CERTIFICATE and AERODROME_GATEWAY_KEY both, or neither.")
        self._load(now)

    def renew(self, now: datetime) -> bool:
        """Load a new leaf if the old one ends soon, or an operator's own files in any case; whether it loaded any."""
        if self._settings.gateway_certificate or not _is_good(files(self._settings.paths), self._settings.domain, now):
            self._load(now)
            return True
        return False

    def _load(self, now: datetime) -> None:
        if self._settings.gateway_certificate:
            certificate, key = Path(self._settings.gateway_certificate), Path(self._settings.gateway_key)
        else:
            certificate = key = ensure_leaf(files(self._settings.paths), self._settings.domain, now)
        try:
            self.context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ValueError) as error:
            raise CallerError(
                f"The gateway cannot serve with {certificate} and {key} ({error}): "
                "AERODROME_GATEWAY_CERTIFICATE and AERODROME_GATEWAY_KEY name PEM files, the key without a password."
            ) from error


def ensure_authority(at: Files, domain: str, now: datetime) -> x509.Certificate:
    """The local authority's certificate; authority and key are made when they are absent.

    Raises:
        CallerError: it was made for another domain.
    """
    at.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not at.authority.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        private_files.write(at.authority_key, _pem(key), durable=True)
        authority = _authority(key, domain, now).public_bytes(serialization.Encoding.PEM)
        private_files.write(at.authority, authority, durable=True)
    certificate = x509.load_pem_x509_certificate(at.authority.read_bytes())
    if not _is_below(domain, names(certificate)):
        raise CallerError(
            f"The certificate authority in {at.folder} was not made for the domain {domain}. "
            "Remove that folder to have another made, which must be trusted anew, or set AERODROME_GATEWAY_CERTIFICATE."
        )
    return certificate


def ensure_leaf(at: Files, domain: str, now: datetime) -> Path:
    """The file with the gateway's key and certificate; made anew when absent, ending soon, or for other names."""
    authority = ensure_authority(at, domain, now)
    if not _is_good(at, domain, now):
        signer = serialization.load_pem_private_key(at.authority_key.read_bytes(), password=None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise CallerError(f"{at.authority_key} is not the key that Aerodrome made. Remove the folder {at.folder}.")
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(key, domain, now, authority, signer)
        private_files.write(at.leaf, _pem(key) + leaf.public_bytes(serialization.Encoding.PEM), durable=True)
    return at.leaf


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, as browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def names(authority: x509.Certificate) -> tuple[str, ...]:
    """The domains that the authority may sign for."""
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    return tuple(each.value for each in constraints.permitted_subtrees or [] if isinstance(each, x509.DNSName))


def _is_good(at: Files, domain: str, now: datetime) -> bool:
    """Whether the authority signed the leaf on disk, for these names, and for long enough."""
    try:
        authority = x509.load_pem_x509_certificate(at.authority.read_bytes())
        leaf = x509.load_pem_x509_certificate(at.leaf.read_bytes())
        leaf.verify_directly_issued_by(authority)
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    own = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return f"*.{domain}" in own.get_values_for_type(x509.DNSName) and now < leaf.not_valid_after_utc - RENEWED_BEFORE


def _authority(key: ec.EllipticCurvePrivateKey, domain: str, now: datetime) -> x509.Certificate:
    # Two authorities of one name, of two installations, would confuse clients that trust both.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Aerodrome"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Aerodrome local authority {secrets.token_hex(4)}"),
        ]
    )
    permitted: list[x509.GeneralName] = [x509.DNSName(each) for each in _unique([LOCALHOST, domain])]
    permitted += [x509.IPAddress(ipaddress.ip_network(net)) for net in ("127.0.0.0/8", "::1/128")]
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _dated(now, AUTHORITY_LIFETIME)
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    domain: str,
    now: datetime,
    authority: x509.Certificate,
    signer: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    own: list[x509.GeneralName] = [x509.DNSName(each) for each in _unique([f"*.{domain}", domain, LOCALHOST])]
    own += [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    issuer_key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        _dated(now, LEAF_LIFETIME)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Aerodrome gateway")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(own), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _dated(now: datetime, lifetime: timedelta) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - BACKDATED).not_valid_after(now + lifetime)


def _is_below(domain: str, permitted: Sequence[str]) -> bool:
    return any(domain == each or domain.endswith(f".{each}") for each in permitted)


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _no_password() -> str:
    """Gives OpenSSL no password; it would ask for one on the terminal."""
    raise ValueError("the key is encrypted")
