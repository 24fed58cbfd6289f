"""What the kernel refuses to a process that is nobody, and to all that it starts.

The cell calls `refuse` for each unit; `release/inside/supervise.py`, which loads this module by its path, for each
program that builds or tries. A small program for seccomp(2) answers:

- unshare(2) and clone(2) with CLONE_NEWUSER are not permitted. In a user namespace of its own a process has every
  capability, and with them reaches parts of the kernel that are otherwise root's alone. The flags of clone3(2) lie in
  memory, where such a program cannot look, so clone3 is answered as if the kernel did not have it; then C libraries use
  clone.
- fallocate(2) gives no blocks behind the end of a file: no limit of the size of files counts them, and a unit has files
  of ours open, for what it prints. Programs do without, as on file systems that have no such blocks.
- io_uring, by which calls pass such a program by, is answered as if the kernel did not have it.
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWUSER = 0x10000000  # linux/sched.h
SECCOMP_SET_MODE_FILTER = 1  # linux/seccomp.h, as those below
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
EPERM = 1  # as x86 and ARM have it
ENOSYS = 38
EOPNOTSUPP = 95
FALLOC_FL_KEEP_SIZE = 1  # linux/falloc.h
FALLOC_FL_PUNCH_HOLE = 2  # which needs the former, and gives blocks back

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS, linux/bpf_common.h, as those below
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
IF_SET = 0x45  # BPF_JMP | BPF_JSET | BPF_K
ANSWER = 0x06  # BPF_RET | BPF_K

NUMBER, ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
FIRST_ARGUMENT, SECOND_ARGUMENT = 16, 24  # their lower halves
X32 = 0x40000000  # set in the numbers of x86's 64-bit calls with 32-bit pointers, which are otherwise the same

CALLS = {
    0xC000003E: (272, 56, 435, 285, 425),  # x86_64: unshare, clone, clone3, fallocate, io_uring_setup
    0x40000003: (310, 120, 435, 324, 425),  # its 32-bit programs
    0xC00000B7: (97, 220, 435, 47, 425),  # aarch64
    0x40000028: (337, 120, 435, 352, 425),  # its 32-bit programs
}
"""The numbers of the system calls, by the architecture's AUDIT_ARCH of linux/audit.h."""

SECCOMP = {"x86_64": 317, "aarch64": 277}
"""The number of seccomp(2) by the machine's name."""


def refuse() -> bool:
    """Refuses all this to this process and its descendants; False = the kernel or the machine lets us not.

    No program may gain rights any more (`kernel.forbid_new_privileges`) before this is called, or we are root.
    """
    number = SECCOMP.get(os.uname().machine)
    if number is None:
        return False
    code = program()
    kept = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: how many instructions, and where they lie.
    pointed = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(kept)))
    library = ctypes.CDLL(None, use_errno=True)
    done = library.syscall(
        ctypes.c_long(number),
        ctypes.c_ulong(SECCOMP_SET_MODE_FILTER),
        ctypes.c_ulong(SECCOMP_FILTER_FLAG_SPEC_ALLOW),  # else older kernels slow all of the process down
        pointed,
    )
    return bool(done == 0)


def program() -> bytes:
    """The instructions, each a struct sock_filter: for each architecture its calls, all else is allowed."""
    code = [_step(LOAD, ARCHITECTURE)]
    for architecture, calls in CALLS.items():
        block = _block(*calls)
        code += [_step(IF_EQUAL, architecture, 0, len(block)), *block]
    return b"".join([*code, _step(ANSWER, SECCOMP_RET_ALLOW)])


def _block(unshare: int, clone: int, clone3: int, fallocate: int, io_uring: int) -> list[bytes]:
    """What is answered to one architecture's calls; it never runs into the next block."""
    return [
        _step(LOAD, NUMBER),
        _step(AND, 0xFFFFFFFF & ~X32),
        _step(IF_EQUAL, clone3, 11, 0),
        _step(IF_EQUAL, io_uring, 10, 0),
        _step(IF_EQUAL, unshare, 5, 0),
        _step(IF_EQUAL, clone, 4, 0),
        _step(IF_EQUAL, fallocate, 0, 8),
        _step(LOAD, SECOND_ARGUMENT),
        _step(IF_SET, FALLOC_FL_PUNCH_HOLE, 6, 0),
        _step(IF_SET, FALLOC_FL_KEEP_SIZE, 3, 5),
        # namespaces
        _step(LOAD, FIRST_ARGUMENT),
        _step(IF_SET, CLONE_NEWUSER, 0, 3),
        _step(ANSWER, SECCOMP_RET_ERRNO | EPERM),
        _step(ANSWER, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        _step(ANSWER, SECCOMP_RET_ERRNO | ENOSYS),
        _step(ANSWER, SECCOMP_RET_ALLOW),
    ]


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("@HBBI", code, if_so, if_not, value)
