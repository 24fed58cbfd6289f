"""The whole listing of a prefix, or an error: never a part of it.

Fed by `bucket`, feeds `object_keys` and `diff` through `sync`. It remembers the pages of the last round, so that a page
whose bytes have not changed is not parsed again: that is every page of every idle second.
"""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from aerodrome.sidecar.object_keys import MAX_FILES, Listing, Remote
from aerodrome.sidecar.signed_http import AwayError, parse_xml

MAX_PAGES = 500
"""Pages of one listing, ten times what 50 000 objects need; we stop reading from a service that gives more."""


@dataclass(frozen=True, slots=True)
class _Page:
    digest: bytes
    objects: dict[str, Remote]
    following: str | None


class ListingReader:
    """Reads the same listing again and again."""

    def __init__(self, page: Callable[[str | None], bytes]) -> None:
        self._page = page
        self._pages: list[_Page] = []
        self._last: Listing | None = None

    def read(self) -> Listing:
        """The listing now; the very same object as the last time when nothing has changed.

        Raises:
            AwayError: a page did not come, or is not one.
            RefusalError: the bucket is missing or closed to the role.
        """
        pages = list(self._walk())
        if self._last is None or len(pages) != len(self._pages) or any(map(_is_not, pages, self._pages)):
            objects = {key: remote for page in pages for key, remote in page.objects.items()}
            self._last = Listing(objects, complete=pages[-1].following is None)
        self._pages = pages
        return self._last

    def _walk(self) -> Iterator[_Page]:
        token: str | None = None
        count = 0
        for index in range(MAX_PAGES):
            page = self._remembered(index, self._page(token))
            yield page
            count += len(page.objects)
            if page.following is None or count > MAX_FILES:
                return
            if page.following == token:
                raise AwayError("the listing gives the same page again and again")
            token = page.following

    def _remembered(self, index: int, body: bytes) -> _Page:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        if index < len(self._pages) and self._pages[index].digest == digest:
            return self._pages[index]
        return _parsed(body, digest)


def _is_not(one: _Page, other: _Page) -> bool:
    return one is not other


def _parsed(body: bytes, digest: bytes) -> _Page:
    try:
        root = parse_xml(body)
        space = root.tag.rpartition("}")[0]
        tag = f"{space}}}" if space else ""
        if root.tag != f"{tag}ListBucketResult":
            raise AwayError(f"a document {root.tag[:100]!r} came instead of a listing")
        truncated = root.findtext(f"{tag}IsTruncated") == "true"
        following = root.findtext(f"{tag}NextContinuationToken")
        if truncated and not following:
            raise AwayError("the listing says that it goes on, but not where")
        encoded = root.findtext(f"{tag}EncodingType") == "url"
        objects = dict(_object(element, tag, encoded=encoded) for element in root.iterfind(f"{tag}Contents"))
    except (ET.ParseError, TypeError, ValueError) as error:
        raise AwayError("a page of the listing is not a whole document") from error
    return _Page(digest, objects, following if truncated else None)


def _object(element: ET.Element, tag: str, *, encoded: bool) -> tuple[str, Remote]:
    """One entry; bytes of a key that are not UTF-8 become lone surrogates, which `object_keys` refuses."""
    key, etag, size = (element.findtext(f"{tag}{name}") for name in ("Key", "ETag", "Size"))
    if not key or not etag:
        raise ValueError
    if encoded:
        key = unquote_to_bytes(key.replace("+", " ")).decode(errors="surrogateescape")
    return key, Remote(key, etag, int(size or ""))
