"""Immortal objects: those that every unit inherits, so that reading them does not copy them.

A fork shares its parent's memory until one of the two writes to it, and CPython writes a count into every object that
it merely looks at. Since 3.12 an object may be marked as immortal (PEP 683), and is then not counted. The warm process
and the primed one mark what they have preloaded, which is never freed anyway; nothing else may call this. Older
interpreters have no such mark and are left as they are.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import types

FIRST = (3, 12)
MARK = 0xFF  # each byte of the lower half of the count, which alone says that an object is immortal
MARKED_BYTES = 4
IMMORTAL = int.from_bytes(bytes([MARK]) * MARKED_BYTES, sys.byteorder)  # as the count that Python tells of such objects


def settle() -> None:
    """Prepares this process to be forked: what it has is there to stay, and is shared for as long as possible."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # otherwise every fork would write it again
    gc.collect()
    immortalise()
    gc.freeze()


def immortalise() -> int:
    """Marks every object that the collector knows, and what those hold; returns how many were looked at."""
    if not is_possible():
        return 0
    known = gc.get_objects()
    for found in known:
        _mark(found)
        for held in gc.get_referents(found):
            _mark(held)
            if type(held) is types.CodeType:  # `isinstance` asks the object, and a lazy one would import what it is for
                _mark_code(held)
    return len(known)


def is_possible() -> bool:
    """Whether this interpreter has immortal objects where we know them to be: None is one of them."""
    if sys.implementation.name != "cpython" or sys.version_info < FIRST or sys.byteorder != "little":
        return False
    if sys.maxsize < 2**32 or hasattr(sys, "gettotalrefcount") or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return False
    return ctypes.string_at(id(None), MARKED_BYTES) == bytes([MARK]) * MARKED_BYTES


def _mark_code(code: types.CodeType) -> None:
    """Marks what a code object holds, which the collector does not know."""
    for held in (*code.co_consts, *code.co_names, *code.co_varnames, code.co_filename, code.co_name, code.co_qualname):
        _mark(held)
        if isinstance(held, types.CodeType):
            _mark_code(held)


def _mark(found: object) -> None:
    if sys.getrefcount(found) == IMMORTAL:  # to write the same once more would copy what a fork shares
        return
    ctypes.memset(id(found), MARK, MARKED_BYTES)
