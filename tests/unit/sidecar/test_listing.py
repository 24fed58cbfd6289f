"""A listing is whole or it is an error, and unchanged pages cost nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import quote

import pytest

from aerodrome.sidecar import listing
from aerodrome.sidecar.object_keys import Remote
from aerodrome.sidecar.signed_http import AwayError

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def page(*keys: str, following: str | None = None, encoded: bool = True, truncated: bool | None = None) -> bytes:
    root = ET.Element("ListBucketResult", xmlns=SPACE)
    ET.SubElement(root, "IsTruncated").text = str(truncated if truncated is not None else bool(following)).lower()
    if encoded:
        ET.SubElement(root, "EncodingType").text = "url"
    if following:
        ET.SubElement(root, "NextContinuationToken").text = following
    for key in keys:
        entry = ET.SubElement(root, "Contents")
        ET.SubElement(entry, "Key").text = quote(key) if encoded else key
        ET.SubElement(entry, "ETag").text = '"1"'
        ET.SubElement(entry, "Size").text = "7"
    return ET.tostring(root)


class Pages:
    """Pages by token."""

    def __init__(self, **pages: bytes | Exception) -> None:
        self.pages = pages

    def __call__(self, token: str | None) -> bytes:
        found = self.pages[token or "first"]
        if isinstance(found, Exception):
            raise found
        return found


def test_all_pages_make_one_listing():
    reader = listing.ListingReader(
        Pages(first=page("dags/a", following="t2"), t2=page("dags/b c+ü%", following="t3"), t3=page("z"))
    )
    assert reader.read().objects == {key: Remote(key, '"1"', 7) for key in ("dags/a", "dags/b c+ü%", "z")}
    assert reader.read().complete


def test_an_empty_prefix_is_a_complete_listing():
    found = listing.ListingReader(Pages(first=page())).read()
    assert (found.objects, found.complete) == ({}, True)


def test_a_failed_page_is_an_error_and_never_a_part():
    pages = Pages(first=page("a", following="t2"), t2=AwayError("gone"))
    reader = listing.ListingReader(pages)
    with pytest.raises(AwayError):
        reader.read()
    pages.pages["t2"] = page("b")
    assert set(reader.read().objects) == {"a", "b"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        page("a")[:-9],
        b"<html>hello</html>",
        b"<Error><Code>Slow</Code></Error>",
        page("a", truncated=True),
        page("a").replace(b">7<", b">many<"),
        page("a").replace(b"<Size>7</Size>", b""),
        page("a").replace(b"ETag", b"Etag"),
        page(""),
    ],
)
def test_what_is_no_whole_page_is_an_error(body):
    with pytest.raises(AwayError):
        listing.ListingReader(lambda _token: body).read()


def test_a_service_that_goes_round_in_circles_is_an_error():
    with pytest.raises(AwayError):
        listing.ListingReader(lambda _token: page("a", following="again")).read()


def test_a_service_without_an_end_is_not_followed_for_ever():
    def endless(token: str | None) -> bytes:
        number = int(token or 0) + 1
        return page(f"k{number}", following=str(number))

    assert not listing.ListingReader(endless).read().complete


def test_more_objects_than_we_take_make_an_incomplete_listing(monkeypatch):
    monkeypatch.setattr(listing, "MAX_FILES", 1)
    pages = Pages(first=page("a", "b", following="t2"), t2=AwayError("never asked for"))
    assert not listing.ListingReader(pages).read().complete


def test_the_same_pages_give_the_very_same_listing():
    pages = Pages(first=page("a", following="t2"), t2=page("b"))
    reader = listing.ListingReader(pages)
    first = reader.read()
    assert reader.read() is first
    pages.pages["t2"] = page("b", "c")
    assert set(reader.read().objects) == {"a", "b", "c"}
    pages.pages["first"] = page("a")
    assert set(reader.read().objects) == {"a"}


def test_keys_are_taken_as_they_are_when_the_service_does_not_encode_them():
    assert set(listing.ListingReader(lambda _token: page("a+b%20c", encoded=False)).read().objects) == {"a+b%20c"}


def test_a_key_that_is_not_utf8_survives_as_something_that_is_refused():
    body = page("a").replace(b"<Key>a</Key>", b"<Key>%E9.py</Key>")
    assert set(listing.ListingReader(lambda _token: body).read().objects) == {"\udce9.py"}
