"""The first administrator's access key as a file that AWS's tools read: one profile, mode 0600.

`assembly` writes it once, when there is no user yet; `aerodrome env` and `aerodrome login` use it.
"""

from __future__ import annotations

import configparser
import io
from pathlib import Path

from aerodrome import private_files
from aerodrome.errors import CallerError

PROFILE = "aerodrome"


def write(path: Path, access_key_id: str, secret_access_key: str) -> None:
    """Write the file in one step, readable by its owner alone; an older one is replaced."""
    parser = configparser.ConfigParser(interpolation=None)
    parser[PROFILE] = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key}
    text = io.StringIO()
    parser.write(text)
    private_files.write(path, text.getvalue(), durable=True)


def read(path: Path) -> tuple[str, str]:
    """Access key id and secret.

    Raises:
        CallerError: the file is not there, or holds no key.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text())
        return parser[PROFILE]["aws_access_key_id"], parser[PROFILE]["aws_secret_access_key"]
    except (OSError, configparser.Error, KeyError):
        raise CallerError(
            f"The administrator's key is not in {path}: `aerodrome up` writes it when it starts for the first time."
        ) from None
