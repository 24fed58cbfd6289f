"""Whether there is a browser to open a link in. Pure but for `show`."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Mapping


def is_there(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a graphical browser can be expected; a text browser would take the terminal over."""
    if platform in {"darwin", "win32"}:
        return "SSH_CONNECTION" not in environ
    return any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def show(address: str, environ: Mapping[str, str]) -> bool:
    """Open the address; False where there is no browser."""
    return is_there(environ, sys.platform) and webbrowser.open(address)
