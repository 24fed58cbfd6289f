"""An object that the disk does not take is refused, and what was under its key stays.

MiniStack answers 200 to a put whose files could not be written, serves the object from memory, and has lost it when it
starts again. Here the files of one request get their names when all of them are written. If one cannot be, none does,
what MiniStack remembers of the key is what it was, and the request is answered with 503. A file that would leave less
than `reserve` says is one that cannot be written. `__main__` applies it once.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aerodrome.emulator import parts, reserve

SENTENCE = "The disk takes no more: see `aerodrome status`."

Answer = tuple[int, dict[str, str], bytes]


@dataclass(slots=True)
class _Storing:
    """What one request has written."""

    files: list[Path] = field(default_factory=list)
    """Under names of ours."""
    steps: list[Callable[[], object]] = field(default_factory=list)
    """What gives them theirs, and what comes with that, in MiniStack's order."""
    failed: bool = False


_under_way: ContextVar[_Storing | None] = ContextVar("storing", default=None)


def correct(s3: Any) -> None:
    """Put the functions into MiniStack's module."""
    s3._atomic_write = _written(s3._atomic_write)  # noqa: SLF001 -- pinned version
    for name in ("_remove_key_files", "_delete_version_file", "_fire_s3_event_async"):
        setattr(s3, name, _put_off(getattr(s3, name)))
    for name in ("_put_object", "_copy_object", "_complete_multipart_upload"):
        setattr(s3, name, _whole(s3, getattr(s3, name)))
    for name in ("_put_object", "_upload_part"):
        setattr(s3, name, _within_reserve(s3, getattr(s3, name), body_at=2))
    for name in ("_copy_object", "_complete_multipart_upload", "_upload_part_copy"):
        setattr(s3, name, _within_reserve(s3, getattr(s3, name), body_at=None))


def _written(write: Callable[..., None]) -> Callable[..., None]:
    """MiniStack's `write`, but within a request a file gets its name in the end."""

    def written(path: str, data: bytes | str, *, text: bool = False) -> None:
        storing = _under_way.get()
        if storing is None:
            write(path, data, text=text)
            return
        file = Path(tempfile.gettempdir()) / f"object-{secrets.token_hex(16)}"
        try:
            reserve.check(len(data))  # a request may write more than its body: also the version that it replaces
            write(str(file), data, text=text)
        except OSError:
            storing.failed = True
            raise  # MiniStack notes it in its log
        storing.files.append(file)
        storing.steps.append(partial(os.replace, file, path))

    return written


def _put_off(act: Callable[..., None]) -> Callable[..., None]:
    """`act`, but within a request in the end."""

    def put_off(*arguments: Any, **more: Any) -> None:
        storing = _under_way.get()
        if storing is None:
            act(*arguments, **more)
        else:
            storing.steps.append(partial(act, *arguments, **more))

    return put_off


def _whole(s3: Any, store: Callable[..., Answer]) -> Callable[..., Answer]:
    """`store`, which keeps an object as a whole or not at all. Its first arguments are bucket and key."""

    def whole(bucket: str, key: str, *arguments: Any) -> Answer:
        storing, put_back = _Storing(), _remembered(s3, bucket, key, _upload(arguments))
        token, is_taken = _under_way.set(storing), False
        try:
            answer = store(bucket, key, *arguments)
            is_taken = answer[0] < HTTPStatus.MULTIPLE_CHOICES
            is_kept = is_taken and not storing.failed and _is_kept(s3, bucket, key)
        except BaseException:
            _undo(storing, put_back)
            raise
        finally:
            _under_way.reset(token)
        if is_kept:
            for step in storing.steps:
                step()
            return answer
        _undo(storing, put_back)
        return _refused(s3, bucket, key) if is_taken else answer

    return whole


def _undo(storing: _Storing, put_back: Callable[[], None]) -> None:
    for file in storing.files:
        file.unlink(missing_ok=True)
    put_back()


def _upload(arguments: tuple[Any, ...]) -> str | None:
    """The id of the upload that a request completes: its query follows the body."""
    query = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], dict) else {}
    return parts.first(query, "uploadId") or None


def _is_kept(s3: Any, bucket: str, key: str) -> bool:
    """Whether MiniStack has put the object into files, if it does that with such a key: then it has none in memory."""
    found = s3._buckets[bucket]["objects"].get(key)  # noqa: SLF001
    return found is None or found.get("body") is None or s3._object_disk_path(bucket, key) is None  # noqa: SLF001


def _remembered(s3: Any, bucket: str, key: str, upload: str | None) -> Callable[[], None]:
    """What puts MiniStack's memory of a key, in whatever bucket a request may write it, back to what it is now."""
    names = [*s3._buckets] if s3._bucket_replication.get(bucket) else [bucket]  # noqa: SLF001
    stores = (s3._object_tags, s3._object_acl, s3._object_annotations)  # noqa: SLF001
    uploads = (s3._multipart_uploads, s3._completed_multipart_uploads) if upload else ()  # noqa: SLF001
    steps = [_entry(each, upload) for each in uploads]
    for name in names:
        found = s3._buckets.get(name)  # noqa: SLF001
        if found is None:
            continue
        steps.append(_entry(found["objects"], key))
        steps += [_entry(store, (name, key, None)) for store in stores]
        versions = s3._object_versions  # noqa: SLF001
        before = versions.get((name, key))
        copies = None if before is None else [dict(each) for each in before]
        steps.append(partial(_put, versions, (name, key), copies))

    def put_back() -> None:
        for step in steps:
            step()

    return put_back


def _entry(store: Any, key: Any) -> Callable[[], None]:
    return partial(_put, store, key, store.get(key))


def _put(store: Any, key: Any, value: Any) -> None:
    if value is None:
        store.pop(key, None)
    else:
        store[key] = value


def _within_reserve(s3: Any, store: Callable[..., Answer], *, body_at: int | None) -> Callable[..., Answer]:
    """`store`, unless it would leave too little; `body_at` is the place of the body among its arguments.

    One without a body learns only meanwhile how much it writes, and each file and part is looked at then.
    """

    def within_reserve(*arguments: Any) -> Answer:
        length = len(arguments[body_at]) if body_at is not None else 0
        if reserve.has_room(length):
            with contextlib.suppress(parts.NotKeptError):
                return store(*arguments)
        return _refused(s3, arguments[0], arguments[1])

    return within_reserve


def _refused(s3: Any, bucket: str, key: str) -> Answer:
    answer: Answer = s3._error("ServiceUnavailable", SENTENCE, 503, f"/{bucket}/{key}")  # noqa: SLF001
    return answer
