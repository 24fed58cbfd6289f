"""A bucket in memory and a clock that a test moves: the sync is tested against real folders, but no socket."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

import pytest

from aerodrome.sidecar.dags_folder import DagsFolder
from aerodrome.sidecar.object_keys import Listing, Remote
from aerodrome.sidecar.signed_http import RefusalError
from aerodrome.sidecar.sync import Syncer


@dataclass
class Ticks:
    """A monotonic clock."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class MemoryBucket:
    """The listing and the objects in one; `failures` are raised for a key, `away` for the listing."""

    name: str = "blue-bucket"
    prefix: str = "dags/"
    objects: dict[str, bytes] = field(default_factory=dict)
    failures: dict[str, Exception] = field(default_factory=dict)
    away: Exception | None = None
    complete: bool = True
    fetched: list[str] = field(default_factory=list)
    changing: dict[str, bytes] = field(default_factory=dict)
    _last: Listing | None = None

    def put(self, **files: str) -> None:
        self.objects |= {f"dags/{name}.py": text.encode() for name, text in files.items()}

    def read(self) -> Listing:
        if self.away is not None:
            raise self.away
        objects = {key: self.remote(key) for key in self.objects}
        if self._last is None or self._last != Listing(objects, self.complete):
            self._last = Listing(objects, self.complete)
        return self._last

    def remote(self, key: str) -> Remote:
        content = self.objects[key]
        return Remote(key, f'"{hashlib.sha256(content).hexdigest()}"', len(content))

    def fetch(self, remote: Remote, descriptor: int) -> str | None:
        self.fetched.append(remote.key)
        self.objects |= {key: content for key, content in self.changing.items() if key == remote.key}
        self.changing.pop(remote.key, None)
        if remote.key in self.failures:
            os.write(descriptor, b"half a fi")
            raise self.failures[remote.key]
        if remote.key not in self.objects:
            raise RefusalError("it is gone", code="NoSuchKey")
        if self.remote(remote.key) != remote:
            raise RefusalError("it has changed", code="PreconditionFailed")
        os.write(descriptor, self.objects[remote.key])
        return "v1"


@pytest.fixture
def ticks():
    return Ticks()


@pytest.fixture
def bucket():
    return MemoryBucket()


@pytest.fixture
def tree(tmp_path):
    return DagsFolder(tmp_path / "dags")


@pytest.fixture
def syncer(bucket, tree, ticks):
    made = Syncer(source=bucket, reader=bucket, tree=tree, monotonic=ticks)
    made.prepare()
    return made


@pytest.fixture
def on_disk(tree):
    def read() -> dict[str, str]:
        return {
            path.relative_to(tree.root).as_posix(): path.read_text()
            for path in sorted(tree.root.rglob("*"))
            if path.is_file() and not path.is_symlink()
        }

    return read
