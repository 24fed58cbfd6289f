"""The body of a request to S3 against what its signature says of it, piece by piece as it arrives.

`sigv4` has verified the head, and with it the header x-amz-content-sha256: the digest of the whole body, or that the
body is not signed, or that it comes in chunks that are signed one after the other. Whoever passes a body on holds back
its last piece until `finish` has returned: nobody acts on a body that is not whole.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Protocol

from aerodrome.identity import sigv4
from aerodrome.identity.errors import AuthenticationError, mismatch
from aerodrome.identity.sigv4 import Presented

SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

LONGEST_LINE = 8 * 1024
"""Bytes of a chunk's head, or of all trailing headers together."""

LARGEST_CHUNK = 2**30

_NOTHING = hashlib.sha256(b"").hexdigest()
_SIGNED_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8});chunk-signature=([0-9a-f]{64})")
_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})")
_TRAILER_SIGNATURE = b"x-amz-trailer-signature"
_END = b"\r\n"


class Payload(Protocol):
    """Takes a body piece by piece."""

    def feed(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            AuthenticationError: it is not what was signed.
        """

    def finish(self) -> None:
        """The body is over.

        Raises:
            AuthenticationError: it is not what was signed, or not all of it.
        """


def expected(declared: str, presented: Presented, secret: str) -> Payload:
    """What a body has to be by the header x-amz-content-sha256, which the verified signature covers."""
    if declared == sigv4.UNSIGNED:
        return Unsigned()
    if declared == UNSIGNED_TRAILER:
        return Chunks(None)
    if declared in {SIGNED_CHUNKS, SIGNED_TRAILER}:
        return Chunks(ChunkSignatures(presented, secret), is_trailed=declared == SIGNED_TRAILER)
    return Digest(declared)


class Unsigned:
    """A body that the signature leaves out."""

    def feed(self, piece: bytes) -> None:
        """Anything will do."""

    def finish(self) -> None:
        """Any end will do."""


class Digest:
    """A body whose digest is signed."""

    def __init__(self, digest: str) -> None:
        self._expected = digest
        self._found = hashlib.sha256()

    def feed(self, piece: bytes) -> None:
        self._found.update(piece)

    def finish(self) -> None:
        if not hmac.compare_digest(self._found.hexdigest(), self._expected):
            raise AuthenticationError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )


class ChunkSignatures:
    """The chain of signatures of a body's chunks: each covers the one before, the first that of the head."""

    def __init__(self, presented: Presented, secret: str) -> None:
        self._key = sigv4.signing_key(secret, presented)
        self._about = f"{presented.stamp}\n{presented.scope}"
        self._last = presented.signature

    def chunk(self, digest: str, signature: str) -> None:
        """The next chunk, by the digest of its data."""
        self._verify("AWS4-HMAC-SHA256-PAYLOAD", f"{_NOTHING}\n{digest}", signature)

    def trailer(self, digest: str, signature: str) -> None:
        """The trailing headers, by their digest."""
        self._verify("AWS4-HMAC-SHA256-TRAILER", digest, signature)

    def _verify(self, algorithm: str, covered: str, signature: str) -> None:
        text = f"{algorithm}\n{self._about}\n{self._last}\n{covered}"
        found = hmac.digest(self._key, text.encode("latin-1"), "sha256").hex()
        if not hmac.compare_digest(found, signature):
            raise mismatch("The signature of a chunk of the body does not match its content.")
        self._last = found


class Chunks:
    """A body in AWS's chunks, signed ones or not."""

    def __init__(self, signatures: ChunkSignatures | None, *, is_trailed: bool = False) -> None:
        self._signatures = signatures
        self._is_trailed = is_trailed
        self._head = _HEAD if signatures is None else _SIGNED_HEAD
        self._waiting = bytearray()
        """What has arrived of a line, of a chunk's end, or of the trailing headers."""
        self._left: int | None = None
        """Bytes that the present chunk still has; None: a chunk's head is next."""
        self._digest = hashlib.sha256()
        self._signature = ""
        self._is_last = False

    def feed(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = self._line(view) if self._left is None or self._is_last else self._data(view)

    def finish(self) -> None:
        if not self._is_last:
            raise _broken()
        lines = bytes(self._waiting)
        if not lines.endswith(_END) or (lines != _END and not lines.endswith(_END * 2)):
            raise _broken()
        if self._signatures is not None and self._is_trailed:
            self._trailer(lines)
        elif self._signatures is not None and lines != _END:
            raise _broken()  # headers that no signature covers

    def _line(self, view: memoryview) -> memoryview:
        """Take bytes of a chunk's head, or of what stands behind the last chunk."""
        room = LONGEST_LINE - len(self._waiting)
        if room <= 0:
            raise _broken()
        before = len(self._waiting)
        self._waiting += view[:room]
        if self._is_last:
            return view[room:]
        end = self._waiting.find(_END, max(0, before - 1))
        if end < 0:
            return view[room:]
        head = self._head.fullmatch(bytes(self._waiting[:end]))
        rest = view[end + len(_END) - before :]
        self._waiting.clear()
        if head is None or int(head[1], 16) > LARGEST_CHUNK:
            raise _broken()
        self._left, self._digest = int(head[1], 16), hashlib.sha256()
        if self._signatures is not None:
            self._signature = head[2].decode()
        if self._left == 0:
            self._is_last = True
            self._verify_chunk()
        return rest

    def _data(self, view: memoryview) -> memoryview:
        """Take bytes of the present chunk, or of the line's end behind it."""
        assert self._left is not None  # noqa: S101  (asked by `feed`)
        if self._left:
            data, rest = view[: self._left], view[self._left :]
            if self._signatures is not None:
                self._digest.update(data)
            self._left -= len(data)
            return rest
        missing = len(_END) - len(self._waiting)
        self._waiting += view[:missing]
        if len(self._waiting) == len(_END):
            if bytes(self._waiting) != _END:
                raise _broken()
            self._waiting.clear()
            self._verify_chunk()
            self._left = None
        return view[missing:]

    def _verify_chunk(self) -> None:
        if self._signatures is not None:
            self._signatures.chunk(self._digest.hexdigest(), self._signature)

    def _trailer(self, lines: bytes) -> None:
        assert self._signatures is not None  # noqa: S101  (asked by `finish`)
        *headers, last = lines.removesuffix(_END * 2).split(_END)
        name, _, signature = last.partition(b":")
        if name.strip().lower() != _TRAILER_SIGNATURE:
            raise _broken()
        covered = b"".join(header + b"\n" for header in headers)
        self._signatures.trailer(hashlib.sha256(covered).hexdigest(), signature.strip().decode("latin-1"))


def _broken() -> AuthenticationError:
    return AuthenticationError("IncompleteBody", "The body is not in the chunks that its head announces.")
