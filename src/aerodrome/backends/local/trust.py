"""The certificate authorities that code of an environment trusts: the public ones, this machine's, and our own.

Python, curl and the AWS SDKs each read another variable and forget all others then, so one file has everything.
"""

from __future__ import annotations

import re
import ssl
from functools import cache
from pathlib import Path

import botocore

VARIABLES = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""What libraries and programs find such a file by."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL)


def variables(bundle: Path) -> dict[str, str]:
    """The variables that lead to the file, for what the user has not set to another."""
    return dict.fromkeys(VARIABLES, str(bundle))


def bundle(authority: Path) -> str:
    """The text of the file; `authority` is our own certificate, which need not be there."""
    public = Path(botocore.__file__).with_name("cacert.pem")
    system = ssl.get_default_verify_paths().cafile
    files = [public, *([Path(system)] if system else []), authority]
    return _joined(tuple((file, file.stat().st_mtime_ns) for file in files if file.is_file()))


@cache
def _joined(files: tuple[tuple[Path, int], ...]) -> str:
    texts = (file.read_text(encoding="utf-8", errors="replace") for file, _ in files)
    each = dict.fromkeys(found for text in texts for found in _CERTIFICATE.findall(text))
    return "".join(f"{certificate}\n" for certificate in each)
