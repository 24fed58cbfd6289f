"""Bodies that are packed (gzip), as SDKs send metrics: unpacked as the emulator would, within bounds. Pure."""

from __future__ import annotations

import zlib

from aerodrome.api.aws.requested import OnwardHead, UnclearError

_LENGTH = 4
"""Bytes at the end of what gzip writes that say how long it is when it is unpacked."""


def unpacked_length(body: bytes | bytearray) -> int:
    """How long the body will be, as it says itself; `plain` refuses one that says something else."""
    return int.from_bytes(body[-_LENGTH:], "little")


def plain(head: OnwardHead, body: bytes, *, longest: int) -> bytes:
    """The body as the emulator would unpack it.

    Raises:
        UnclearError: it is packed in another way, or too large.
    """
    encoding = head.headers.get("content-encoding", "").strip().lower()
    if "x-amz-decoded-content-length" in head.headers or (encoding and encoding != "gzip"):
        raise UnclearError("The body is encoded in a way that is not taken.")
    if not encoding:
        return body
    length = unpacked_length(body)
    if length > longest:
        raise UnclearError("The body is too long when it is unpacked.")
    unpacking = zlib.decompressobj(wbits=31)
    try:
        found = unpacking.decompress(body, length + 1)
    except zlib.error:
        raise UnclearError("The body is not what its encoding says.") from None
    if not unpacking.eof or unpacking.unused_data or len(found) != length:
        raise UnclearError("The body is not what its encoding says, or more than one body.")
    return found
