"""No new file for a process but in the folders that it is given: the kernel's Landlock, which root needs no right for.

It holds for the process and for all that it starts, whatever it does. Files that are open already stay open, sockets
may be made wherever the folders' modes allow it, and reading is not concerned.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the system calls, on every architecture, since Linux 5.13
VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION of linux/landlock.h, as those below
PATH_BENEATH = 1
WRITE_FILE = 1 << 1
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_FIFO = 1 << 10
MAKE_SYM = 1 << 12
REFER = 1 << 13
ALL = WRITE_FILE | MAKE_DIR | MAKE_REG | MAKE_FIFO | MAKE_SYM | REFER

LEAST = 2
"""The version since which a file may be renamed from one folder into another (Linux 5.19)."""

DEVICES = ("/dev", "/proc")
"""Where nothing takes space, and programs open for writing what is there."""


def works() -> bool:
    """Whether the kernel has what `confine` needs."""
    return bool(_library().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION) >= LEAST)


def confine(folders: Iterable[str]) -> bool:
    """Lets this process make files, and open them for writing, in these folders alone; False = the kernel cannot.

    No program may gain rights any more (`kernel.forbid_new_privileges`) before this is called, or we are root.
    """
    if not works():
        return False
    library = _library()
    handled = struct.pack("=Q", ALL)
    ruleset = library.syscall(CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    try:
        for path, rights in [*((each, ALL) for each in folders), *((each, WRITE_FILE) for each in DEVICES)]:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # nobody can write there either
                _allow(ruleset, path, rights)
        return bool(library.syscall(RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _library().syscall(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, folder), 0) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(folder)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
