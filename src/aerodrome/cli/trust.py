"""What `aerodrome trust` prints: where the gateway's certificate authority is, and how each program comes to trust it.

Pure; `gateway.certificates` has the authority itself. Nothing is installed here: only its owner changes a trust store.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAME = "aerodrome"
"""The certificate's name in trust stores."""


@dataclass(frozen=True, kw_only=True)
class Authority:
    """What people trust."""

    path: Path
    fingerprint: str
    """SHA-256, as browsers show it."""
    names: tuple[str, ...]
    """Domains that it may sign for; clients refuse it for any other."""


def commands(path: Path) -> dict[str, list[str]]:
    """Lines for a shell, with the programs that they are for."""
    file = shlex.quote(str(path))
    return {
        "Debian, Ubuntu": [
            f"sudo cp {file} /usr/local/share/ca-certificates/{NAME}.crt",
            "sudo update-ca-certificates",
        ],
        "Fedora, RHEL": [f"sudo cp {file} /etc/pki/ca-trust/source/anchors/{NAME}.pem", "sudo update-ca-trust"],
        "macOS": [
            f"security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db {file}",
        ],
        "Chrome, Chromium on Linux": [
            f'certutil -A -d "sql:$HOME/.pki/nssdb" -t C,, -n {NAME} -i {file}',
        ],
        "Firefox": [
            f"Settings > Privacy & Security > Certificates > View Certificates > Authorities > Import: {path}",
        ],
        "curl": [f"export CURL_CA_BUNDLE={file}"],
        "Python (requests, MwaaHook)": [f"export REQUESTS_CA_BUNDLE={file}"],
        "Python (ssl, aiohttp, httpx), OpenSSL": [f"export SSL_CERT_FILE={file}"],
        "Node.js": [f"export NODE_EXTRA_CA_CERTS={file}"],
    }


def document(authority: Authority) -> Mapping[str, object]:
    """The answer for scripts."""
    return {
        "path": str(authority.path),
        "sha256": authority.fingerprint,
        "names": list(authority.names),
        "commands": commands(authority.path),
    }


def text(authority: Authority) -> str:
    """The answer for people."""
    lines = [
        f"Certificate authority  {authority.path}",
        f"SHA-256                {authority.fingerprint}",
        f"Signs only for         {', '.join(authority.names)}",
        "",
        "To trust it, run the lines of your system or program:",
    ]
    for who, given in commands(authority.path).items():
        lines += ["", who, *(f"    {line}" for line in given)]
    return "\n".join(lines)


def own_certificate(path: str) -> str:
    """The answer when the gateway serves with a certificate of the operator's own."""
    return (
        f"The gateway serves with your own certificate, {path} (AERODROME_GATEWAY_CERTIFICATE): "
        "clients trust it by whoever signed it, and there is no authority of Aerodrome's to trust."
    )
