"""The certificate authorities that an environment's code trusts: the public ones, this machine's, and our own.

Python, curl and the AWS SDKs each have their own variable, and then trust only the file that it names. So one file has
all authorities.
"""

from __future__ import annotations

import re
import ssl
from functools import cache
from pathlib import Path

import botocore

VARIABLES = ("AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""The variables that name such a file to libraries and programs."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.+?\n-----END CERTIFICATE-----", re.DOTALL)


def variables(bundle: Path) -> dict[str, str]:
    """The variables with the path of the file, as defaults."""
    return dict.fromkeys(VARIABLES, str(bundle))


def bundle(authority: Path) -> str:
    """The text of the file; `authority` is our own certificate, which may not exist."""
    public = Path(botocore.__file__).with_name("cacert.pem")
    system = ssl.get_default_verify_paths().cafile
    files = [public, *([Path(system)] if system else []), authority]
    return _joined(tuple((file, file.stat().st_mtime_ns) for file in files if file.is_file()))


@cache
def _joined(files: tuple[tuple[Path, int], ...]) -> str:
    texts = (file.read_text(encoding="utf-8", errors="replace") for file, _ in files)
    each = dict.fromkeys(found for text in texts for found in _CERTIFICATE.findall(text))
    return "".join(f"{certificate}\n" for certificate in each)
