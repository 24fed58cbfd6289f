"""Keeps what the ledger says of environments' service keys for some seconds, so that few requests wait for it.

The door wraps IAM in it: of all keys, only these are looked up in the ledger. Anybody may name one; so what is kept is
bounded, and unknown keys never push out known ones.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Final, Generic, TypeVar

from aerodrome.identity.store import IdentityStore
from aerodrome.model.principals import AccessKey, Granted, PolicyText, Principal, PrincipalKind

PREFIX: Final = "AKIAAERODROME"
"""What keys of environments' own parts begin with; they assume roles, and write what MWAA measures as a service."""

CONTROL_PLANE: Final = f"{PREFIX}CONTROL"
"""The control plane's own key, which IAM has in memory."""

KEPT = 5.0
"""Seconds; a key lives on so long after its environment."""

MOST = 4096
"""Keys of each kind that are kept; the oldest go first."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def is_looked_up(access_key_id: str) -> bool:
    """Whether the ledger is asked for this key, so that a look at it may block."""
    return access_key_id.startswith(PREFIX) and access_key_id != CONTROL_PLANE


class KeptServiceKeys:
    """An IdentityStore that asks another one; for many threads."""

    def __init__(self, store: IdentityStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._known: _Expiring[str, AccessKey] = _Expiring(monotonic)
        self._unknown: _Expiring[str, bool] = _Expiring(monotonic)
        self._granted: _Expiring[str, Granted] = _Expiring(monotonic)

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """The long-term key of that id, active or not."""
        if not is_looked_up(access_key_id):
            return self._store.access_key(access_key_id)
        found = self._known.get(access_key_id)
        if found is not None or self._unknown.get(access_key_id):
            return found
        found = self._store.access_key(access_key_id)
        if found is None:
            self._unknown.keep(access_key_id, value=True)
        else:
            self._known.keep(access_key_id, found)
        return found

    def granted(self, principal: Principal) -> Granted | None:
        """The policies of a principal; None when it no longer exists, or when another has its name now."""
        if principal.kind is not PrincipalKind.SERVICE or principal.environment is None:
            return self._store.granted(principal)
        found = self._granted.get(principal.environment)
        if found is None:
            found = self._store.granted(principal)
            if found is not None:
                self._granted.keep(principal.environment, found)
        return found

    def trust(self, role_arn: str) -> PolicyText | None:
        """The trust policy of a role; None when there is no such role."""
        return self._store.trust(role_arn)

    def used(self, access_key_id: str, service: str, region: str, now: datetime) -> None:
        """Notes that a long-term key was used."""
        self._store.used(access_key_id, service, region, now)


class _Expiring(Generic[Key, Value]):
    """What was found, for `KEPT` seconds, `MOST` at a time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._found: OrderedDict[Key, tuple[float, Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        with self._lock:
            at, value = self._found.get(key, (float("-inf"), None))
        return value if self._monotonic() - at < KEPT else None

    def keep(self, key: Key, value: Value) -> None:
        with self._lock:
            self._found.pop(key, None)
            self._found[key] = self._monotonic(), value
            while len(self._found) > MOST:
                self._found.popitem(last=False)
