"""What the gateway itself answers: small pages for browsers, problem documents for programs.

Every page stands alone. Its policy names its one style and its one script by their hashes, and nothing else runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response

from aerodrome.gateway.requests import GatewayRefusal, GatewayRequest

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 15vh auto 0; max-width: 34rem; padding: 0 1rem; color: #1f2933 }
h1 { font-size: 1.4rem; margin: 0 0 .5rem } code { background: #eef1f4; padding: .1em .35em; border-radius: 3px }
@media (prefers-color-scheme: dark) { body { background: #14181d; color: #dde3ea } code { background: #262d35 } }
"""

# The token is in the fragment, which browsers send to nobody. The script takes it out of the history first of all.
SCRIPT = """
"use strict";
(async () => {
  const words = document.getElementById("words");
  const token = location.hash.slice(1);
  const asked = new URLSearchParams(location.search).get("next") || "/";
  history.replaceState(null, "", location.pathname + location.search);
  if (!token) { return; }
  words.textContent = "Logging in\\u2026";
  let next = "/";
  try {
    const url = new URL(asked, location.origin);
    if (url.origin === location.origin) { next = url.pathname + url.search + url.hash; }
  } catch { /* not an address: the front page */ }
  try {
    const answer = await fetch("/aws_mwaa/login", {
      method: "POST", body: new URLSearchParams({ token }), credentials: "same-origin", redirect: "error",
    });
    if (answer.ok) { location.replace(new URL(next.replace(/^[/\\\\]+/, "/"), location.origin).href); return; }
    words.textContent = (await answer.json()).detail;
  } catch { words.textContent = "The gateway gave no answer. Try again with a new link."; }
})();
"""

HOW_TO_LOG_IN = (
    "Ask for a login link with <code>aerodrome login NAME</code>, where NAME is the environment's, "
    "or for a token with <code>aws mwaa create-web-login-token --name NAME</code>."
)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1><p id="words" role="status">{words}</p>{more}</body></html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_POLICY = "; ".join(
    [
        "default-src 'none'",
        f"style-src {_hash(STYLE)}",
        f"script-src {_hash(SCRIPT)}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_PAGE_HEADERS = _HEADERS | {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}


def log_in() -> Response:
    """The page that turns the token in its own address into a session."""
    more = f"<script>{SCRIPT}</script>"
    words = "To log in, open the link that you were given, whole. " + HOW_TO_LOG_IN
    return _page(200, "Log in to Airflow", words, more)


def logged_out(visit: GatewayRequest) -> Response:
    """Says that the session is closed."""
    if visit.wants_page:
        return _page(200, "You are logged out", HOW_TO_LOG_IN)
    return document(200, {"detail": "You are logged out."})


def refusal(visit: GatewayRequest | None, refused: GatewayRefusal) -> Response:
    """The answer to a request that goes no further."""
    title = HTTPStatus(refused.status).phrase
    if visit is not None and visit.wants_page:
        words = html.escape(refused.sentence)
        if refused.status == HTTPStatus.UNAUTHORIZED:
            title, words = "You are not logged in", f"{words} {HOW_TO_LOG_IN}"
        return _page(refused.status, title, words, headers=refused.headers)
    body = {"title": title, "status": refused.status, "detail": refused.sentence, "message": refused.sentence}
    return document(refused.status, body, headers=refused.headers)


def document(status: int, body: Mapping[str, object], *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return JSONResponse(body, status_code=status, headers={**_HEADERS, **(headers or {})})


def _page(status: int, title: str, words: str, more: str = "", *, headers: Mapping[str, str] | None = None) -> Response:
    content = _PAGE.format(title=title, style=STYLE, words=words, more=more)
    return HTMLResponse(content, status_code=status, headers={**_PAGE_HEADERS, **(headers or {})})
