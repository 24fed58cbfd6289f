"""What an environment has queued, and the results of its tasks: set aside, put back, removed.

With a Redis of its own, that is a folder, and the Redis does not run meanwhile. In a Redis that environments share, it
is the keys under the environment's prefix. Every function may be killed and called again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aerodrome import errors, trees
from aerodrome.services.redis import key_prefix

SECONDS = 10.0
"""For connecting, and for each answer."""

AT_ONCE = 500
"""Keys in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """The queues of one environment."""

    identifier: str
    folder: Path
    """The folder of its own Redis."""

    url: str | None = field(repr=False)
    """The Redis that environments share; None = it has its own. May hold a password."""

    def set_aside(self, revision: int) -> None:
        """Keep what is queued, out of sight, for the change of that revision; done once for each revision.

        Raises:
            RetryError: the shared Redis does not answer.
        """
        if self.url is None:
            aside = self._aside_folder(revision)
            if not aside.exists() and self.folder.exists():
                self.folder.rename(aside)
            return
        with _connected(self.url) as client:
            if not client.exists(self._mark(revision)):
                _move(client, self._live, self._aside(revision))
                client.set(self._mark(revision), "")

    def put_back(self, revision: int) -> None:
        """Undo `set_aside`; what was queued since then is lost.

        Raises:
            RetryError: the shared Redis does not answer.
        """
        if self.url is None:
            aside = self._aside_folder(revision)
            if aside.is_dir():
                trees.remove(self.folder)
                aside.rename(self.folder)
            return
        with _connected(self.url) as client:
            if client.exists(self._mark(revision)):
                _remove(client, self._live)
                # From here on this prefix holds what was queued before.
                client.unlink(self._mark(revision))
            _move(client, self._aside(revision), self._live)

    def forget_aside(self) -> None:
        """Remove everything that was set aside.

        Raises:
            RetryError: the shared Redis does not answer.
        """
        if self.url is None:
            trees.remove(*self.folder.parent.glob(f"{self.folder.name}.*"))
            return
        with _connected(self.url) as client:
            _remove(client, self._all_aside)

    def remove(self) -> None:
        """Remove every key of the environment from the shared Redis; a Redis of its own goes with its folder.

        Raises:
            RetryError: the shared Redis does not answer.
        """
        if self.url is not None:
            with _connected(self.url) as client:
                _remove(client, self._live)
                _remove(client, self._all_aside)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of its keys in the shared Redis."""
        return () if self.url is None else (f"{self._live}*", f"{self._all_aside}*")

    @property
    def _live(self) -> str:
        return key_prefix(self.identifier)

    @property
    def _all_aside(self) -> str:
        return f"aerodrome-aside:{self.identifier}:"

    def _aside(self, revision: int) -> str:
        return f"{self._all_aside}{revision}:"

    def _mark(self, revision: int) -> str:
        """The key that says that everything was set aside."""
        return f"{self._all_aside}whole:{revision}"

    def _aside_folder(self, revision: int) -> Path:
        return self.folder.with_name(f"{self.folder.name}.{revision}")


def address(url: str) -> str:
    """The URL for our client, which has other names than Celery for the parameters of TLS. Pure."""
    parts = urlsplit(url)
    known = [
        (name, value.removeprefix("CERT_").lower() if name == "ssl_cert_reqs" else value)
        for name, value in parse_qsl(parts.query)
        if parts.scheme == "rediss" and name.startswith("ssl_")
    ]
    return urlunsplit(parts._replace(query=urlencode(known)))


@contextmanager
def _connected(url: str) -> Iterator[Any]:
    """A client of the shared Redis; an error of its makes the step worth another try."""
    import redis  # noqa: PLC0415 - takes a twentieth of the control plane's start, and few have a Redis to share

    client = redis.Redis.from_url(address(url), socket_connect_timeout=SECONDS, socket_timeout=SECONDS)
    try:
        yield client
    except redis.RedisError as error:
        # Its sentence may hold the URL, and the URL a password.
        sentence = f"the Redis of AERODROME_REDIS_URL does not answer as it should ({type(error).__name__})"
        raise errors.RetryError(sentence) from None
    finally:
        client.close()


def _keys(client: Any, prefix: str) -> Iterator[list[bytes]]:
    """The keys that begin with the prefix, in groups; all are listed first: a scan may miss keys during removals."""
    found = list(client.scan_iter(match=f"{prefix}*", count=AT_ONCE))
    return (found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE))


def _remove(client: Any, prefix: str) -> None:
    for keys in _keys(client, prefix):
        client.unlink(*keys)


def _move(client: Any, prefix: str, target: str) -> None:
    for keys in _keys(client, prefix):
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.rename(key, target.encode() + key[len(prefix) :])
            for answer in pipeline.execute(raise_on_error=False):
                # A result that has just expired is no loss.
                if isinstance(answer, Exception) and "no such key" not in str(answer):
                    raise answer
