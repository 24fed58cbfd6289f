"""The program for seccomp(2), step by step as the kernel takes it, for every architecture that it knows."""

from __future__ import annotations

import struct

import pytest

from aerodrome.cell import seccomp

ALLOWED = "allowed"
STEPS = [step for (step,) in struct.iter_unpack("8s", seccomp.program())]


def answered(architecture: int, number: int, first: int = 0, second: int = 0) -> str | int:
    """What is answered to a system call: that it is allowed, or an error's number."""
    data = {
        seccomp.NUMBER: number,
        seccomp.ARCHITECTURE: architecture,
        seccomp.FIRST_ARGUMENT: first,
        seccomp.SECOND_ARGUMENT: second,
    }
    at, held = 0, 0
    while True:
        code, if_so, if_not, value = struct.unpack("@HBBI", STEPS[at])
        at += 1
        if code == seccomp.LOAD:
            held = data[value]
        elif code == seccomp.AND:
            held &= value
        elif code == seccomp.IF_EQUAL:
            at += if_so if held == value else if_not
        elif code == seccomp.IF_SET:
            at += if_so if held & value else if_not
        else:
            return ALLOWED if value == seccomp.SECCOMP_RET_ALLOW else value & 0xFFFF


@pytest.mark.parametrize("architecture", seccomp.CALLS)
def test_what_is_refused_on_each_architecture(architecture) -> None:
    unshare, clone, clone3, fallocate, io_uring = seccomp.CALLS[architecture]

    def told(*call: int) -> str | int:
        return answered(architecture, *call)

    assert told(unshare, seccomp.CLONE_NEWUSER) == told(clone, seccomp.CLONE_NEWUSER | 17) == seccomp.EPERM
    assert told(unshare, 0x20000) == told(clone, 17) == ALLOWED
    assert told(clone3) == told(io_uring) == seccomp.ENOSYS
    assert told(fallocate, 1, seccomp.FALLOC_FL_KEEP_SIZE) == seccomp.EOPNOTSUPP
    assert told(fallocate, seccomp.CLONE_NEWUSER, 0) == ALLOWED
    both = seccomp.FALLOC_FL_KEEP_SIZE | seccomp.FALLOC_FL_PUNCH_HOLE
    assert told(fallocate, 1, both) == ALLOWED
    others = {0, 1, 2, 57, 60, 434, 436} - {*seccomp.CALLS[architecture]}
    assert {told(number, seccomp.CLONE_NEWUSER, 1) for number in others} == {ALLOWED}


def test_calls_with_32_bit_pointers_are_no_way_round() -> None:
    unshare, *_ = seccomp.CALLS[0xC000003E]
    assert answered(0xC000003E, unshare | seccomp.X32, seccomp.CLONE_NEWUSER) == seccomp.EPERM
