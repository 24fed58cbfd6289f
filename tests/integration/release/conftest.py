"""A tiny version to install: one wheel on disk, a lock of one line, the Python that runs the tests."""

import base64
import hashlib
import os
import sys
import zipfile
from datetime import date

import pytest

from aerodrome.release import locks
from aerodrome.release.locks import Lock

VERSION = "0.0.1"
LINE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def wheel(tmp_path):
    """The wheel `tiny`, in a folder of its own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = folder / "tiny-1.0-py3-none-any.whl"
    files = {
        "tiny.py": "answer = 42\n\n\ndef main():\n    print(answer)\n",
        "tiny-1.0.dist-info/entry_points.txt": "[console_scripts]\naws = tiny:main\n",
        "tiny-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        "tiny-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_digest(text)},{len(text)}" for name, text in files.items()]
    files["tiny-1.0.dist-info/RECORD"] = "\n".join([*record, "tiny-1.0.dist-info/RECORD,,"]) + "\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def lock(wheel, tmp_path, monkeypatch):
    """The lock of the tiny version, on offer while the test runs."""
    folder = tmp_path / "locks"
    folder.mkdir()
    tiny = Lock(version=VERSION, python=LINE, cutoff=date(2026, 1, 1), constrained=False)
    beside = Lock(version="programs", python=LINE, cutoff=date(2026, 1, 1))
    monkeypatch.setattr(locks, "FOLDER", folder)
    monkeypatch.setattr(locks, "PROGRAMS", beside)
    monkeypatch.setitem(locks.LOCKS, VERSION, tiny)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    for each in (tiny, beside):
        each.path.write_text(f"tiny==1.0 --hash=sha256:{digest}\n")
    return tiny


@pytest.fixture
def environ(wheel, tmp_path):
    """The environment of a control plane that knows no index but the wheel's folder."""
    return {
        "HOME": str(tmp_path),
        "PATH": os.defpath,
        "PIP_CONFIG_FILE": os.devnull,
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(wheel.parent),
        "UV_HTTP_RETRIES": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
