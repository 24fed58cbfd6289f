"""Where the collector is: told to every sidecar in one file, so that all of them heed it at once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from aerodrome import private_files


@dataclass(frozen=True, slots=True)
class CollectorAddress:
    """A collector that takes OTLP over HTTP."""

    endpoint: str
    """The URL that the paths of OTLP are put after, as OTEL_EXPORTER_OTLP_ENDPOINT is."""
    headers: Path | None
    """The file with the headers that it wants; None = none."""


def write(path: Path, address: CollectorAddress | None) -> None:
    """Tell it; None = OTLP is off."""
    if address is None:
        path.unlink(missing_ok=True)
        return
    document = {"endpoint": address.endpoint, "headers": str(address.headers) if address.headers else None}
    private_files.write(path, json.dumps(document))


class AddressFile:
    """What was told, looked at again whenever it may have changed; no path = there never is a collector."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._address: CollectorAddress | None = None

    def read(self) -> CollectorAddress | None:
        """The collector; None = OTLP is off."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
            stamp = status.st_mtime_ns, status.st_ino
            if stamp != self._stamp:
                document = json.loads(self._path.read_text(encoding="utf-8"))
                headers = document["headers"]
                self._address = CollectorAddress(document["endpoint"], Path(headers) if headers else None)
                self._stamp = stamp
        except OSError:
            self._stamp = self._address = None
        return self._address
